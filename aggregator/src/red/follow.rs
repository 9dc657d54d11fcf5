//! Reads what was stored since the last look, once a second, and counts it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use daemon::clock::Clock;
use daemon::shutdown::Token;
use futures::StreamExt as _;
use store::{ScanRequest, Snapshot, Store, Table};

use super::graph::Counted;
use super::{Red, State, Waits};
use crate::requests::counted;
use crate::requests::pairs::Party;
use crate::requests::span::{COLUMNS, Spans};

/// Between two looks.
const TICK: Duration = Duration::from_secs(1);
/// How long a span waits for that of the other end: agents send theirs within a window.
const PATIENCE: Duration = Duration::from_secs(20);
/// Counts without spans that wait for it to be known who asks.
const MOST_ALONE: usize = 16_384;
/// The columns that name the ends of flows.
const FLOW_COLUMNS: [&str; 8] = [
    "role",
    "peer_address",
    "server_port",
    "asked_address",
    "asked_port",
    "peer_kind",
    "peer_namespace",
    "peer_workload",
];

/// Counts rows that come in after `after_lsn`, until the token's phase begins.
pub(crate) async fn run(red: Red, store: Arc<Store>, clock: Clock, after_lsn: i64, token: Token) {
    let mut after = after_lsn;
    let rows = store.watch_rows();
    loop {
        tokio::select! {
            () = token.stopped() => return,
            () = tokio::time::sleep(TICK) => {}
        }
        if *rows.borrow() > after {
            let snapshot = store.snapshot();
            red.read(&snapshot, after, &clock).await;
            after = snapshot.last_lsn();
        }
        red.expire(&clock);
    }
}

fn ns(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

impl Red {
    async fn read(&self, snapshot: &Snapshot, after: i64, clock: &Clock) {
        let now = ns(clock.monotonic());
        // who is where, before those who talk to them
        self.scan(snapshot, Table::Flow, &FLOW_COLUMNS, after, |state, batch| state.name(batch)).await;
        self.scan(snapshot, Table::Span, &COLUMNS, after, |state, batch| self.count(state, batch, now)).await;
        self.scan(snapshot, Table::Request, &counted::COLUMNS, after, |state, batch| {
            self.count_counted(state, batch, now);
        })
        .await;
    }

    async fn scan(
        &self,
        snapshot: &Snapshot,
        table: Table,
        columns: &[&str],
        after: i64,
        take: impl Fn(&mut State, &RecordBatch),
    ) {
        let columns = Some(columns.iter().map(|&name| name.to_owned()).collect());
        let request = ScanRequest { columns, after_lsn: Some(after), ..ScanRequest::default() };
        let mut rows = match snapshot.scan(table, request) {
            Ok(rows) => rows,
            Err(error) => return self.unread(table, &error),
        };
        while let Some(batch) = rows.next().await {
            match batch {
                Ok(batch) => take(&mut self.lock(), &batch),
                Err(error) => self.unread(table, &error),
            }
        }
    }

    fn unread(&self, table: Table, error: &store::ScanError) {
        self.metrics.unread.inc();
        tracing::warn!(%error, table = table.name(), "rows were not counted: metrics of requests lack them");
    }

    /// Counts a batch of spans that were read at `now`.
    pub(super) fn count(&self, state: &mut State, batch: &RecordBatch, now: i64) {
        let Some(spans) = Spans::of(batch) else { return };
        let State { calls, pairs, graph, .. } = state;
        for span in spans.iter() {
            self.metrics.spans.inc();
            // an agent's own are among what it counted
            if !span.is_wake && calls.add(&span) {
                self.metrics.folded.inc();
            }
            pairs.add(&span, now, &mut |request| self.note(graph.add(request)));
        }
        self.measure(state);
    }

    /// Counts a batch of what agents have counted, read at `now`.
    pub(super) fn count_counted(&self, state: &mut State, batch: &RecordBatch, now: i64) {
        counted::each(batch, |counted| {
            self.metrics.requests.inc_by(counted.count);
            if state.calls.add_counted(&counted) {
                self.metrics.folded.inc_by(counted.count);
            }
            // those with a span are on their edge by that
            let Some(weight) = counted.without_span() else { return };
            let alone = state.pairs.alone(&counted);
            if alone.is_client {
                state.graph.note_client(&alone.side);
            }
            state.alone.push_back(Waits { since: now, alone, weight });
            if state.alone.len() > MOST_ALONE {
                self.settle_first(state);
            }
        });
        self.measure(state);
    }

    /// Counts the first of what waits: who asks was heard by now.
    fn settle_first(&self, state: &mut State) {
        let Some(Waits { mut alone, weight, .. }) = state.alone.pop_front() else { return };
        state.pairs.look_up(&mut alone);
        if state.graph.add_alone(&alone, &weight) == Counted::Folded {
            self.metrics.folded.inc_by(weight.count);
        }
    }

    fn expire(&self, clock: &Clock) {
        self.expire_before(ns(clock.monotonic()).saturating_sub(ns(PATIENCE)));
    }

    /// Counts alone what has waited since before this time.
    pub(super) fn expire_before(&self, before: i64) {
        let mut state = self.lock();
        let State { pairs, graph, .. } = &mut *state;
        pairs.expire(before, &mut |request| self.note(graph.add(request)));
        while state.alone.front().is_some_and(|waits| waits.since < before) {
            self.settle_first(&mut state);
        }
        self.measure(&state);
    }

    fn note(&self, counted: Counted) {
        match counted {
            Counted::Edge => 0,
            Counted::Folded => self.metrics.folded.inc(),
            Counted::Unpaired => self.metrics.unpaired.inc(),
        };
    }

    fn measure(&self, state: &State) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.series.set(gauge(state.calls.series() + state.graph.len()));
        self.metrics.waiting.set(gauge(state.pairs.waiting()));
    }
}

impl State {
    /// Learns from flows who is where.
    pub(super) fn name(&mut self, batch: &RecordBatch) {
        let word = |name: &str, row: usize| -> Option<&str> {
            let column = batch.column_by_name(name)?;
            if let Some(texts) = column.as_string_opt::<i32>() {
                return column.is_valid(row).then(|| texts.value(row));
            }
            let column = column.as_dictionary_opt::<Int32Type>()?;
            Some(column.values().as_string_opt::<i32>()?.value(column.key(row)?))
        };
        let port = |name: &str, row: usize| -> Option<u16> {
            let column = batch.column_by_name(name)?;
            let port = match column.as_primitive_opt::<Int32Type>() {
                Some(ports) => i64::from(ports.value(row)),
                None => column.as_primitive_opt::<Int64Type>()?.value(row),
            };
            u16::try_from(port).ok().filter(|port| *port > 0)
        };
        let mut before: Option<Arc<Party>> = None;
        for row in 0..batch.num_rows() {
            let Some(workload) = word("peer_workload", row).filter(|workload| !workload.is_empty()) else {
                continue;
            };
            let namespace = word("peer_namespace", row).unwrap_or_default();
            let address = |name: &str| word(name, row)?.parse::<IpAddr>().ok();
            let Some(peer) = address("peer_address").map(|peer| peer.to_canonical()) else { continue };
            if peer.is_loopback() {
                continue;
            }
            let known = before.filter(|party| party.workload == workload && party.namespace == namespace);
            let party = known.unwrap_or_else(|| {
                Arc::new(Party {
                    namespace: namespace.to_owned(),
                    workload: workload.to_owned(),
                    kind: String::new(),
                    service: workload.to_owned(),
                })
            });
            if word("role", row) == Some("client") {
                for (address, port) in [
                    (Some(peer), port("server_port", row)),
                    (address("asked_address").map(|asked| asked.to_canonical()), port("asked_port", row)),
                ] {
                    if let (Some(address), Some(port)) = (address, port) {
                        self.graph.serves(SocketAddr::new(address, port), &party);
                    }
                }
            }
            if word("peer_kind", row) == Some("pod") {
                self.graph.lives(peer, &party);
            }
            before = Some(party);
        }
    }
}
