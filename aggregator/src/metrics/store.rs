//! The store's numbers, read at each scrape.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use daemon::metrics::{Described, Registry};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use store::{Store, StoreStats, SyncTimes, TableStats};

use crate::ingest::agents::Agents;
use crate::query::Query;

const PREFIX: &str = "wake_aggregator_";

type Of<T> = fn(&T) -> u64;

const GAUGES: [(&str, &str, Of<StoreStats>); 8] = [
    ("store_wal_bytes", "Write-ahead log, bytes", |stats| stats.wal_bytes),
    ("store_wal_files", "Write-ahead log, files", |stats| stats.wal_files as u64),
    ("store_head_bytes", "Memory of rows that are not sealed yet", |stats| stats.head_bytes as u64),
    ("store_cache_bytes", "Memory of cached footers and indexes", |stats| stats.cache_bytes as u64),
    ("store_catalog_version", "Version of the catalog", |stats| stats.catalog_version),
    ("store_dedupe_entries", "Nodes whose batches are remembered", |stats| stats.dedupe_entries as u64),
    ("store_disk_full", "1 while batches are refused because the disk is full", |stats| {
        u64::from(stats.disk_full)
    }),
    ("store_stopped", "1 when the store acknowledges nothing any more", |stats| {
        u64::from(stats.stopped.is_some())
    }),
];

const COUNTERS: [(&str, &str, Of<StoreStats>); 15] = [
    ("store_wal_syncs", "Syncs of the write-ahead log", |stats| stats.counters.syncs),
    ("store_wal_written_bytes", "Bytes written to the write-ahead log", |stats| stats.counters.wal_bytes),
    ("store_refused_batches", "Batches that the store refused", |stats| stats.counters.refused),
    ("store_seals", "Seals committed", |stats| stats.counters.seals),
    ("store_failed_seals", "Seals that failed; their rows stay in memory", |stats| {
        stats.counters.failed_seals
    }),
    ("store_sealed_rows", "Rows sealed", |stats| stats.counters.sealed_rows),
    ("store_compactions", "Merges of segments committed", |stats| stats.counters.compactions),
    ("store_compacted_segments", "Segments that were merged into others", |stats| {
        stats.counters.compacted_segments
    }),
    ("store_compacted_rows", "Rows of segments that were merged", |stats| stats.counters.compacted_rows),
    ("store_failed_compactions", "Merges that failed; the segments stay as they were", |stats| {
        stats.counters.failed_compactions
    }),
    ("store_dropped_segments", "Segments that retention or a full disk took", |stats| {
        stats.counters.dropped_segments
    }),
    ("store_dropped_rows", "Rows that retention or a full disk took", |stats| stats.counters.dropped_rows),
    ("store_unreadable_segments", "Times that a segment could not be read", |stats| {
        stats.counters.unreadable_segments
    }),
    (
        "store_lost_records",
        "Damaged parts of write-ahead log and catalog found at start: acknowledged data that is lost",
        |stats| stats.counters.lost_records,
    ),
    ("store_dedupe_closed_gaps", "Gaps in batch numbers that were given up", |stats| {
        stats.dedupe_closed_gaps
    }),
];

/// How long syncs of the write-ahead log took.
const SYNCS: (&str, &str) =
    ("store_wal_sync_seconds", "Syncs of the write-ahead log, which an acknowledgement waits for");

const TABLES: [(&str, &str, Of<TableStats>); 5] = [
    ("store_head_rows", "Rows not sealed yet, by table", |table| table.head_rows as u64),
    ("store_table_head_bytes", "Memory of rows not sealed yet, by table", |table| table.head_bytes as u64),
    ("store_segments", "Segments, by table", |table| table.segments as u64),
    ("store_segment_rows", "Rows in segments, by table", |table| table.segment_rows),
    ("store_segment_bytes", "Bytes of segments, by table", |table| table.segment_bytes),
];

const AGENTS: (&str, &str) = ("ingest_agents", "Agents with an open stream");

/// Registers what is read at each scrape.
pub(crate) fn register(registry: &Registry, store: Arc<Store>, agents: Arc<Agents>, query: Query) {
    registry.register_collector(Box::new(StoreCollector { store, agents, query }), described());
}

/// What is read at each scrape, for the reference.
pub(crate) fn described() -> Vec<Described> {
    let gauges = GAUGES.iter().map(|(name, help, _)| (*name, *help));
    let tables = TABLES.iter().map(|(name, help, _)| (*name, *help));
    let describe = |kind: &'static str, suffix: &str, name: &str, help: &str| Described {
        name: format!("{PREFIX}{name}{suffix}"),
        kind: kind.into(),
        help: help.to_owned(),
    };
    let mut described: Vec<Described> =
        gauges.chain(tables).chain([AGENTS]).map(|(name, help)| describe("gauge", "", name, help)).collect();
    described.push(describe("histogram", "", SYNCS.0, SYNCS.1));
    described.extend(COUNTERS.iter().map(|(name, help, _)| describe("counter", "_total", name, help)));
    described
}

struct StoreCollector {
    store: Arc<Store>,
    agents: Arc<Agents>,
    query: Query,
}

impl fmt::Debug for StoreCollector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("StoreCollector").finish_non_exhaustive()
    }
}

impl Collector for StoreCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        self.query.measure();
        let stats = self.store.stats();
        for (name, help, of) in &GAUGES {
            gauge(&mut encoder, name, help, of(&stats))?;
        }
        gauge(&mut encoder, AGENTS.0, AGENTS.1, self.agents.connected_now() as u64)?;
        for (name, help, of) in &COUNTERS {
            let (name, counter) = (format!("{PREFIX}{name}"), ConstCounter::new(of(&stats)));
            let metric = encoder.encode_descriptor(&name, help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        syncs(&mut encoder, &stats.sync_times)?;
        for (name, help, of) in &TABLES {
            let (name, kind) = (format!("{PREFIX}{name}"), ConstGauge::new(0_u64).metric_type());
            let mut metric: MetricEncoder<'_> = encoder.encode_descriptor(&name, help, None, kind)?;
            for table in &stats.tables {
                let value = ConstGauge::new(of(table));
                value.encode(metric.encode_family(&[("table", table.table.name())])?)?;
            }
        }
        Ok(())
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> Result<(), fmt::Error> {
    let (name, gauge) = (format!("{PREFIX}{name}"), ConstGauge::new(value));
    let metric = encoder.encode_descriptor(&name, help, None, gauge.metric_type())?;
    gauge.encode(metric)
}

fn syncs(encoder: &mut DescriptorEncoder<'_>, times: &SyncTimes) -> Result<(), fmt::Error> {
    let seconds =
        |us: u64| if us == u64::MAX { f64::INFINITY } else { Duration::from_micros(us).as_secs_f64() };
    let buckets: Vec<(f64, u64)> =
        times.buckets.iter().map(|(bound, count)| (seconds(*bound), *count)).collect();
    let count = buckets.iter().map(|(_, count)| count).sum();
    let name = format!("{PREFIX}{}", SYNCS.0);
    let mut metric = encoder.encode_descriptor(&name, SYNCS.1, None, MetricType::Histogram)?;
    metric.encode_histogram::<NoLabelSet>(seconds(times.sum_us), count, &buckets, None)
}
