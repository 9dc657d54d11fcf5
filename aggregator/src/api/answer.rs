//! Answers, written row by row so that a large one is text and never a tree: `{"rows":[…],"complete":…,"reasons":[…]}`.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use axum::Extension;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::api::json;
use crate::audit::Told;
use crate::query::reason::Reason;
use crate::query::session::{Sink, Take};

/// The most bytes of one answer.
pub(crate) const MOST_BYTES: usize = 32 << 20;

/// Why an answer is not whole.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ReasonBody {
    /// `timeout`, `row_limit`, `segment_unreadable`, `retention`, `dropped` or `agent_gap`.
    #[schema(example = "agent_gap")]
    code: &'static str,
    /// In words.
    detail: String,
    /// Begin of the range that it concerns, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// End of that range, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

impl From<&Reason> for ReasonBody {
    fn from(reason: &Reason) -> Self {
        let time = |ns: Option<i64>| ns.map(|ns| json::rfc3339(i128::from(ns)));
        Self {
            code: reason.code.as_str(),
            detail: reason.detail.clone(),
            from: time(reason.from_ns),
            to: time(reason.to_ns),
        }
    }
}

/// How rows look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// `{"rows":[{"column": value}]}`
    Objects,
    /// `{"columns":[…],"rows":[[value]]}`
    Arrays,
}

/// An answer that grows.
#[derive(Debug)]
pub(crate) struct Answer {
    shape: Shape,
    text: Vec<u8>,
    rows: usize,
    most_rows: usize,
    /// What is said beside the lists.
    said: Map<String, Value>,
}

impl Answer {
    /// Rows as objects, without columns that are absent and without `lsn`.
    pub(crate) fn objects(most_rows: usize) -> Self {
        Self { shape: Shape::Objects, text: b"{\"rows\":[".to_vec(), rows: 0, most_rows, said: Map::new() }
    }

    /// Rows as arrays, after the columns' names and types.
    pub(crate) fn arrays(most_rows: usize) -> Self {
        Self { shape: Shape::Arrays, text: Vec::new(), rows: 0, most_rows, said: Map::new() }
    }

    /// One more object.
    pub(crate) fn push(&mut self, row: &Map<String, Value>) -> Take {
        self.item(row)
    }

    /// Ends the list and begins another one under this name.
    pub(crate) fn section(&mut self, name: &str) {
        self.text.extend_from_slice(format!("],\"{name}\":[").as_bytes());
        self.rows = 0;
    }

    /// A value beside the lists.
    pub(crate) fn say(&mut self, name: &str, value: Value) {
        self.said.insert(name.to_owned(), value);
    }

    /// Whether the list has no row yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The whole of it.
    pub(crate) fn end(self, reasons: &[Reason]) -> Body {
        let reasons: Vec<ReasonBody> = reasons.iter().map(ReasonBody::from).collect();
        let Self { mut text, rows, mut said, .. } = self;
        said.insert(String::from("complete"), json!(reasons.is_empty()));
        said.insert(String::from("reasons"), json!(reasons));
        let tail = Value::Object(said).to_string();
        text.extend_from_slice(b"],");
        text.extend_from_slice(tail.trim_start_matches('{').as_bytes());
        Body { text, rows: rows as u64 }
    }

    fn item(&mut self, row: &impl Serialize) -> Take {
        if self.rows >= self.most_rows || self.text.len() >= MOST_BYTES {
            return Take::Enough;
        }
        if self.rows > 0 {
            self.text.push(b',');
        }
        let before = self.text.len();
        // Values of our own making always encode; a half-written row is taken back all the same.
        if serde_json::to_writer(&mut self.text, row).is_err() {
            self.text.truncate(before);
            self.text.extend_from_slice(b"null");
        }
        self.rows += 1;
        Take::More
    }
}

impl Sink for Answer {
    fn columns(&mut self, schema: &SchemaRef) {
        if self.shape == Shape::Arrays {
            let columns: Vec<Value> = schema
                .fields()
                .iter()
                .map(|field| json!({ "name": field.name(), "type": field.data_type().to_string() }))
                .collect();
            self.text = format!("{{\"columns\":{},\"rows\":[", Value::Array(columns)).into_bytes();
        }
    }

    fn rows(&mut self, batch: &RecordBatch) -> Take {
        let mut take = Take::More;
        match self.shape {
            Shape::Objects => {
                for row in json::objects(batch, &["lsn"]) {
                    take = self.item(&row);
                    if take == Take::Enough {
                        break;
                    }
                }
            }
            Shape::Arrays => {
                for row in json::arrays(batch) {
                    take = self.item(&row);
                    if take == Take::Enough {
                        break;
                    }
                }
            }
        }
        take
    }
}

/// Rows for an endpoint that goes on with them.
#[derive(Debug, Default)]
pub(crate) struct Rows(pub(crate) Vec<Map<String, Value>>);

/// The most rows that an endpoint goes on with.
const MOST_KEPT_ROWS: usize = 100_000;

impl Sink for Rows {
    fn columns(&mut self, _schema: &SchemaRef) {}

    fn rows(&mut self, batch: &RecordBatch) -> Take {
        if self.0.len() + batch.num_rows() > MOST_KEPT_ROWS {
            return Take::Enough;
        }
        self.0.extend(json::objects(batch, &["lsn"]));
        Take::More
    }
}

/// Rows for an endpoint that takes each as it comes and keeps none.
pub(crate) struct Each<F>(pub(crate) F);

impl<F: FnMut(Map<String, Value>) -> Take> Sink for Each<F> {
    fn columns(&mut self, _schema: &SchemaRef) {}

    fn rows(&mut self, batch: &RecordBatch) -> Take {
        for row in json::objects(batch, &["lsn"]) {
            if (self.0)(row) == Take::Enough {
                return Take::Enough;
            }
        }
        Take::More
    }
}

/// A JSON body that is written already.
#[derive(Debug)]
pub(crate) struct Body {
    text: Vec<u8>,
    rows: u64,
}

impl IntoResponse for Body {
    fn into_response(self) -> Response {
        let told = Told { rows: Some(self.rows), text: None };
        let headers = [(CONTENT_TYPE, "application/json")];
        (headers, Extension(told), Bytes::from(self.text)).into_response()
    }
}
