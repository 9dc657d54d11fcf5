//! Rows of the store → OTLP: record batches of `log` and `span` in, one request out.
//!
//! Columns are found once per batch; what is absent stays absent. Records of the same identity share a resource.

mod cells;
mod logs;
mod spans;

use std::collections::HashMap;

use arrow::array::RecordBatch;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use self::cells::{Identity, Texts, ints};
use self::logs::Logs;
use self::spans::Spans;
use crate::config::export::ExportSignal;

/// A request has at most so many records.
pub(super) const REQUEST_RECORDS: usize = 8_192;
/// Bytes that a record or a resource takes beside its own.
const FRAME: usize = 8;

/// The columns that are read of a table.
pub(super) fn columns(signal: ExportSignal) -> Vec<String> {
    let own: &[&str] = match signal {
        ExportSignal::Logs => &logs::COLUMNS,
        ExportSignal::Spans => &spans::COLUMNS,
    };
    let common = cells::IDENTITY.iter().chain(&["ts", "boot_id", "lsn"]);
    common.chain(own).map(|name| (*name).to_owned()).collect()
}

/// A request that is being filled.
#[derive(Debug)]
pub(super) struct Request {
    records: Records,
    /// The position of each record.
    lsns: Vec<i64>,
    bytes: usize,
}

#[derive(Debug)]
enum Records {
    Logs(Groups<LogRecord>),
    Spans(Groups<Span>),
}

/// Records by resource and scope, in the order in which each came first.
#[derive(Debug)]
struct Groups<R> {
    places: HashMap<String, usize>,
    groups: Vec<(Resource, InstrumentationScope, Vec<R>)>,
}

impl<R: Message> Groups<R> {
    fn new() -> Self {
        Self { places: HashMap::new(), groups: Vec::new() }
    }

    /// Adds a record.
    fn push(&mut self, identity: &Identity<'_>, row: usize, record: R) {
        let (key, next) = (identity.key(row), self.groups.len());
        let place = *self.places.entry(key).or_insert(next);
        if place == next {
            let who = identity.who(row);
            self.groups.push((who.resource(), who.scope(), Vec::new()));
        }
        self.groups[place].2.push(record);
    }

    /// Bytes that this record would add.
    fn cost(&self, identity: &Identity<'_>, row: usize, record: &R) -> usize {
        let own = record.encoded_len() + FRAME;
        if self.places.contains_key(&identity.key(row)) {
            return own;
        }
        let who = identity.who(row);
        own + who.resource().encoded_len() + who.scope().encoded_len() + 2 * FRAME
    }
}

/// One record.
#[derive(Debug)]
pub(super) enum Record {
    Log(LogRecord),
    Span(Span),
}

/// The rows of one batch.
pub(super) struct Rows<'a> {
    rows: usize,
    identity: Identity<'a>,
    boot_ids: Texts<'a>,
    lsns: &'a [i64],
    own: Own<'a>,
}

enum Own<'a> {
    Logs(Logs<'a>),
    Spans(Spans<'a>),
}

impl<'a> Rows<'a> {
    /// Finds the columns; `None` if the batch has not those of the signal.
    pub(super) fn new(signal: ExportSignal, batch: &'a RecordBatch) -> Option<Self> {
        let own = match signal {
            ExportSignal::Logs => Own::Logs(Logs::new(batch)?),
            ExportSignal::Spans => Own::Spans(Spans::new(batch)?),
        };
        Some(Self {
            rows: batch.num_rows(),
            identity: Identity::new(batch),
            boot_ids: Texts::new(batch, "boot_id"),
            lsns: ints(batch, "lsn")?,
            own,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// The row's record.
    pub(super) fn record(&self, row: usize) -> Record {
        match &self.own {
            Own::Logs(logs) => Record::Log(logs.record(row)),
            Own::Spans(spans) => Record::Span(spans.span(row)),
        }
    }

    /// Where the row stands.
    pub(super) fn lsn(&self, row: usize) -> i64 {
        self.lsns[row]
    }

    /// Whether an agent wrote it, which knows its boot; OTLP names none.
    pub(super) fn is_own(&self, row: usize) -> bool {
        !self.boot_ids.get(row).is_empty()
    }
}

impl Request {
    pub(super) fn new(signal: ExportSignal) -> Self {
        let records = match signal {
            ExportSignal::Logs => Records::Logs(Groups::new()),
            ExportSignal::Spans => Records::Spans(Groups::new()),
        };
        Self { records, lsns: Vec::new(), bytes: 0 }
    }

    /// Bytes that it would have with this record of a row.
    pub(super) fn bytes_with(&self, rows: &Rows<'_>, row: usize, record: &Record) -> usize {
        self.bytes
            + match (&self.records, record) {
                (Records::Logs(groups), Record::Log(log)) => groups.cost(&rows.identity, row, log),
                (Records::Spans(groups), Record::Span(span)) => groups.cost(&rows.identity, row, span),
                _ => 0,
            }
    }

    /// Adds a row's record.
    pub(super) fn push(&mut self, rows: &Rows<'_>, row: usize, record: Record) {
        self.bytes = self.bytes_with(rows, row, &record);
        match (&mut self.records, record) {
            (Records::Logs(groups), Record::Log(log)) => groups.push(&rows.identity, row, log),
            (Records::Spans(groups), Record::Span(span)) => groups.push(&rows.identity, row, span),
            _ => return,
        }
        self.lsns.push(rows.lsn(row));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lsns.is_empty()
    }

    /// The positions of its records.
    pub(super) fn lsns(&self) -> &[i64] {
        &self.lsns
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where it goes below the endpoint, and what.
    pub(super) fn encode(self) -> (&'static str, Vec<u8>) {
        match self.records {
            Records::Logs(groups) => {
                let resource_logs = groups.groups.into_iter().map(|(resource, scope, log_records)| {
                    let scope_logs = ScopeLogs { scope: Some(scope), log_records, ..ScopeLogs::default() };
                    ResourceLogs {
                        resource: Some(resource),
                        scope_logs: vec![scope_logs],
                        ..ResourceLogs::default()
                    }
                });
                let request = ExportLogsServiceRequest { resource_logs: resource_logs.collect() };
                ("/v1/logs", request.encode_to_vec())
            }
            Records::Spans(groups) => {
                let resource_spans = groups.groups.into_iter().map(|(resource, scope, spans)| {
                    let scope_spans = ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() };
                    ResourceSpans {
                        resource: Some(resource),
                        scope_spans: vec![scope_spans],
                        ..ResourceSpans::default()
                    }
                });
                let request = ExportTraceServiceRequest { resource_spans: resource_spans.collect() };
                ("/v1/traces", request.encode_to_vec())
            }
        }
    }
}
