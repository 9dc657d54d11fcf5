//! Metrics of spool and client.

use std::collections::BTreeMap;

use daemon::metrics::Registry;
use daemon::tls::certificate::Described;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

use super::durations;
use super::labels::{CodeLabels, SignalLabels};

/// Metrics of spool and client.
#[derive(Clone, Debug)]
pub struct ExportMetrics {
    /// Batches spooled.
    pub batches: Counter,
    /// Their size before compression.
    pub batch_bytes: Counter,
    /// And after.
    pub compressed_bytes: Counter,
    /// Rows spooled.
    rows: Family<SignalLabels, Counter>,
    /// Time to pack, append and sync a batch.
    pub spool_seconds: Histogram,
    /// Bytes on disk.
    pub spool_bytes: Gauge,
    /// Batches not acknowledged.
    pub spool_batches: Gauge,
    /// 1 while the stream to the aggregator is open.
    pub connected: Gauge,
    /// Batches sent, repeats included.
    pub sent_batches: Counter,
    /// Batches acknowledged.
    pub acked_batches: Counter,
    /// Of these, such as were never on disk.
    direct_batches: Counter,
    direct_rows: Family<SignalLabels, Counter>,
    /// Of these, such as were stored before.
    pub repeated_batches: Counter,
    /// Rows that the aggregator left out.
    pub rejected_rows: Counter,
    /// Refusals.
    refused: Family<CodeLabels, Counter>,
    /// Streams that broke, and attempts that failed.
    pub stream_errors: Counter,
    /// Certificates that the aggregator gave.
    pub enrolments: Counter,
    /// Attempts to get one that failed.
    pub enrolment_errors: Counter,
    /// Until when the certificate is valid, Unix seconds; 0 without one.
    pub certificate_not_after: Gauge,
    /// From when on it is, Unix seconds.
    pub certificate_not_before: Gauge,
}

impl ExportMetrics {
    /// Registers them under the root's prefix.
    pub fn register(root: &Registry) -> Self {
        let counter = |name, help| root.register(name, help, Counter::default());
        let bytes = |name, help| root.register_with_unit(name, help, Unit::Bytes, Counter::default());
        let gauge = |name, help| root.register(name, help, Gauge::default());
        Self {
            batches: counter("spool_batches_written", "Batches written to the spool"),
            batch_bytes: bytes("spool_unpacked", "Bytes of batches before compression"),
            compressed_bytes: bytes("spool_packed", "Bytes of batches after compression"),
            rows: root.register("spool_rows", "Rows written to the spool, by signal", Family::default()),
            spool_seconds: root.register_with_unit(
                "spool_write",
                "Time to pack a batch, append it and sync it to disk",
                Unit::Seconds,
                durations(),
            ),
            spool_bytes: root.register_with_unit(
                "spool",
                "Bytes of the spool on disk",
                Unit::Bytes,
                Gauge::default(),
            ),
            spool_batches: gauge("spool_batches", "Batches in the spool that are not acknowledged"),
            connected: gauge("export_connected", "1 while the stream to the aggregator is open"),
            sent_batches: counter("export_sent_batches", "Batches sent, repeats included"),
            acked_batches: counter(
                "export_acked_batches",
                "Batches taken by the aggregator or an OTLP endpoint",
            ),
            direct_batches: counter(
                "export_direct_batches",
                "Batches taken by an OTLP endpoint before they were spooled",
            ),
            direct_rows: root.register(
                "export_direct_rows",
                "Rows in batches taken by an OTLP endpoint before they were spooled, by signal",
                Family::default(),
            ),
            repeated_batches: counter(
                "export_repeated_batches",
                "Acknowledged batches that were stored before",
            ),
            rejected_rows: counter("export_rejected_rows", "Rows that the aggregator left out of a batch"),
            refused: root.register(
                "export_refused_batches",
                "Batches refused, by error code",
                Family::default(),
            ),
            stream_errors: counter(
                "export_stream_errors",
                "Streams to the aggregator that broke or did not open",
            ),
            enrolments: counter("tls_enrolments", "Certificates that the aggregator gave"),
            enrolment_errors: counter("tls_enrolment_errors", "Attempts to get a certificate that failed"),
            certificate_not_after: root.register_with_unit(
                "tls_certificate_not_after_timestamp",
                "Until when the agent's certificate is valid, Unix time; 0 without one",
                Unit::Seconds,
                Gauge::default(),
            ),
            certificate_not_before: root.register_with_unit(
                "tls_certificate_not_before_timestamp",
                "From when on the agent's certificate is valid, Unix time; 0 without one",
                Unit::Seconds,
                Gauge::default(),
            ),
        }
    }

    /// What the agent proves itself with from now on.
    pub fn certificate(&self, described: &Described) {
        self.certificate_not_before.set(described.not_before_s);
        self.certificate_not_after.set(described.not_after_s);
    }

    /// Rows of one signal.
    pub fn rows(&self, signal: &str) -> Counter {
        self.rows.get_or_create_owned(&SignalLabels { signal: signal.to_owned() })
    }

    /// A batch that was never on disk, by its rows of each signal.
    pub fn direct(&self, rows: &BTreeMap<&'static str, u64>) {
        self.direct_batches.inc();
        self.direct_rows(rows);
    }

    /// Rows of a batch that was counted when it was delivered, while somebody else held its rows.
    pub fn direct_rows(&self, rows: &BTreeMap<&'static str, u64>) {
        for (signal, count) in rows {
            let labels = SignalLabels { signal: (*signal).to_owned() };
            self.direct_rows.get_or_create_owned(&labels).inc_by(*count);
        }
    }

    /// Refusals with one code.
    pub fn refused(&self, code: &str) -> Counter {
        let known = proto::error::ErrorCode::from_name(code).map_or("other", proto::error::ErrorCode::as_str);
        self.refused.get_or_create_owned(&CodeLabels { code: known.to_owned() })
    }
}
