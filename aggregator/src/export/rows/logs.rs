//! Rows of `log` → log records.

use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;

use super::cells::{Maps, Texts, Times};
use super::spans::bytes_of;
use crate::export::resource::{pair, text};

pub(super) const COLUMNS: [&str; 9] =
    ["observed_ts", "level", "body", "source", "stream", "truncated", "trace_id", "span_id", "attributes"];

/// The columns of a batch.
#[derive(Debug)]
pub(super) struct Logs<'a> {
    ts: Times<'a>,
    observed_ts: Times<'a>,
    level: Texts<'a>,
    body: Texts<'a>,
    source: Texts<'a>,
    stream: Texts<'a>,
    truncated: &'a BooleanArray,
    trace_id: Texts<'a>,
    span_id: Texts<'a>,
    attributes: Maps<'a>,
}

impl<'a> Logs<'a> {
    pub(super) fn new(batch: &'a RecordBatch) -> Option<Self> {
        let texts = |name| Texts::new(batch, name);
        Some(Self {
            ts: Times::new(batch, "ts")?,
            observed_ts: Times::new(batch, "observed_ts")?,
            level: texts("level"),
            body: texts("body"),
            source: texts("source"),
            stream: texts("stream"),
            truncated: batch.column_by_name("truncated")?.as_boolean_opt()?,
            trace_id: texts("trace_id"),
            span_id: texts("span_id"),
            attributes: Maps::new(batch, "attributes")?,
        })
    }

    pub(super) fn record(&self, row: usize) -> LogRecord {
        let mut attributes: Vec<_> = self.attributes.get(row).map(|(key, value)| text(key, value)).collect();
        let (source, level) = (self.source.get(row), self.level.get(row));
        if source.starts_with('/') {
            attributes.push(text("log.file.path", source));
        }
        let stream = self.stream.get(row);
        if !stream.is_empty() {
            attributes.push(text("log.iostream", stream));
        }
        if self.truncated.value(row) {
            attributes.push(pair("wake.truncated", Value::BoolValue(true)));
        }
        let body = Value::StringValue(self.body.get(row).to_owned());
        LogRecord {
            time_unix_nano: self.ts.get(row),
            observed_time_unix_nano: self.observed_ts.get(row),
            severity_number: severity(level),
            severity_text: level.to_owned(),
            body: Some(AnyValue { value: Some(body) }),
            attributes,
            trace_id: bytes_of(self.trace_id.get(row)),
            span_id: bytes_of(self.span_id.get(row)),
            ..LogRecord::default()
        }
    }
}

fn severity(level: &str) -> i32 {
    match level {
        "trace" => 1,
        "debug" => 5,
        "info" => 9,
        "warn" => 13,
        "error" => 17,
        "fatal" => 21,
        _ => 0,
    }
}
