//! The audit log: who asked what, and what came of it; one JSON object per line, in files of bounded size and number.
//!
//! In: a request and its answer. Out: `audit.log`. Never in it: tokens, values of parameters that are named like a
//! secret, or what was answered. A record is handed over before the answer is sent; a full queue holds the answer back.
//! Refusals of people who are not known are at most one line a second, with the number of those held back, so that they
//! cannot push others out.

mod file;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use daemon::clock::Clock;
use daemon::log::Repeated;
use daemon::metrics::Registry;
use daemon::shutdown::Token;
use prometheus_client::metrics::counter::Counter;
use proto::error::ErrorCode;
use serde::Serialize;
use store::Scope;
use tokio::sync::mpsc;

use self::file::Files;
use crate::access::Caller;

/// Records that wait for the disk.
const QUEUE: usize = 1_024;
/// The most bytes of a query's text in a record.
const MOST_TEXT: usize = 4 << 10;
/// The most namespaces or groups that a record names.
const MOST_NAMES: usize = 100;
/// Parameters whose value stays out: nothing of Wake's has such a name, but people mistake things.
const SECRET: [&str; 6] = ["token", "secret", "password", "authorization", "api_key", "apikey"];

/// Where the audit log lies and how much of it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) max_bytes: u64,
    pub(crate) keep: u32,
}

/// Takes records; clones share the file.
#[derive(Clone, Debug)]
pub(crate) struct Audit {
    records: mpsc::Sender<Vec<u8>>,
    clock: Clock,
    strangers: Arc<Repeated>,
}

/// What a request asks for, noted before it is answered.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    method: String,
    path: String,
    query: String,
}

/// What an answer adds to its record, as an extension of the response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// Rows of the answer.
    pub(crate) rows: Option<u64>,
    /// The text of a query that came in the body.
    pub(crate) text: Option<String>,
}

#[derive(Debug, Serialize)]
struct Record<'a> {
    ts: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    groups: &'a [String],
    method: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    query: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// `all`, or the namespaces; absent where nobody was let in.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<Vec<String>>,
    status: u16,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    duration_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_back: Option<u64>,
}

/// What is counted of records.
#[derive(Clone, Debug)]
pub(crate) struct AuditMetrics {
    written: Counter,
    errors: Counter,
}

impl AuditMetrics {
    pub(crate) fn register(root: &Registry) -> Self {
        let own = root.with_prefix("audit");
        Self {
            written: own.register("records", "Records of the audit log written", Counter::default()),
            errors: own.register(
                "errors",
                "Records of the audit log that could not be written",
                Counter::default(),
            ),
        }
    }
}

impl Audit {
    /// Opens the file, and starts what writes it.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub(crate) fn start(
        place: Place,
        clock: Clock,
        registry: &Registry,
        token: Token,
    ) -> std::io::Result<Self> {
        let mut files = Files::open(place)?;
        let (records, mut queue) = mpsc::channel::<Vec<u8>>(QUEUE);
        let AuditMetrics { written, errors } = AuditMetrics::register(registry);
        let strangers = Arc::new(Repeated::new(clock.clone(), Duration::from_secs(1)));
        let mut write = move |record: &[u8]| match files.write(record) {
            Ok(()) => drop(written.inc()),
            Err(error) => {
                errors.inc();
                tracing::error!(%error, "audit record not written");
            }
        };
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    record = queue.recv() => match record {
                        Some(record) => write(&record),
                        None => break,
                    },
                    () = token.stopped() => {
                        queue.close();
                        while let Some(record) = queue.recv().await {
                            write(&record);
                        }
                        break;
                    }
                }
            }
            drop(token);
        });
        Ok(Self { records, clock, strangers })
    }

    /// The record of an answer; `None` when it is held back.
    pub(crate) fn record(
        &self,
        asked: Asked,
        caller: Option<&Caller>,
        response: &Response,
        took: Duration,
    ) -> Option<Vec<u8>> {
        let held_back = match caller {
            Some(_) => None,
            None => match self.strangers.permit() {
                Some(held_back) => (held_back > 0).then_some(held_back),
                None => return None,
            },
        };
        let told = response.extensions().get::<Told>().cloned().unwrap_or_default();
        let code = response.extensions().get::<ErrorCode>().map_or("ok", |code| code.as_str());
        let result = if code == "ok" && !response.status().is_success() { "refused" } else { code };
        let text = told.text.map(|text| cut(&text).to_owned());
        let record = Record {
            ts: crate::api::rfc3339(self.clock.now_unix_ns()),
            user: caller.and_then(|caller| caller.user.as_deref()),
            groups: caller.map_or(&[], |caller| &caller.groups[..caller.groups.len().min(MOST_NAMES)]),
            method: &asked.method,
            path: &asked.path,
            query: &asked.query,
            text: text.as_deref(),
            scope: caller.map(|caller| names(&caller.scope)),
            status: response.status().as_u16(),
            result,
            rows: told.rows,
            duration_s: took.as_secs_f64(),
            held_back,
        };
        let mut line = serde_json::to_vec(&record).ok()?;
        line.push(b'\n');
        Some(line)
    }

    /// Hands a record over.
    pub(crate) async fn write(&self, record: Vec<u8>) {
        // closed only when the process ends
        drop(self.records.send(record).await);
    }
}

impl Asked {
    /// `prefix` is what the router has taken off the path.
    pub(crate) fn of(request: &Request, prefix: &str) -> Self {
        let uri = request.uri();
        Self {
            method: request.method().to_string(),
            path: cut(&format!("{prefix}{}", uri.path())).to_owned(),
            query: cut(&redacted(uri.query().unwrap_or_default())).to_owned(),
        }
    }
}

/// A query string without values of parameters that are named like a secret.
fn redacted(query: &str) -> String {
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if SECRET.iter().any(|secret| name.to_ascii_lowercase().contains(secret)) => {
            format!("{name}=REDACTED")
        }
        _ => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

fn names(scope: &Scope) -> Vec<String> {
    match scope {
        Scope::All => vec![String::from("all")],
        Scope::Namespaces(names) => {
            let mut named: Vec<String> = names.iter().take(MOST_NAMES).cloned().collect();
            if names.len() > MOST_NAMES {
                named.push(format!("and {} more", names.len() - MOST_NAMES));
            }
            named
        }
    }
}

/// As much of a text as a record holds.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(MOST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::{cut, redacted};

    #[test]
    fn secrets_stay_out() {
        assert_eq!(
            redacted("contains=x&access_token=abc&Password=d"),
            "contains=x&access_token=REDACTED&Password=REDACTED"
        );
        assert_eq!(redacted(""), "");
        assert_eq!(cut(&"ä".repeat(4_000)).len(), 4_096);
    }
}
