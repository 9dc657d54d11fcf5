//! One trace with what belongs to it by its connections: the spans of the other ends, which have traces of their own.
//!
//! From each span that was seen on the wire, the spans of the same connection and time are read; what `requests::join`
//! puts together leads to further traces, in bounded rounds. Nothing is written: the next question finds the same.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use futures::StreamExt as _;
use serde_json::{Map, Value};
use store::{Order, ScanRequest, Table};

use crate::api::answer::Answer;
use crate::api::error::ApiError;
use crate::api::json;
use crate::api::params::Range;
use crate::query::error::QueryError;
use crate::query::reason::{Reason, ReasonCode};
use crate::query::session::{Session, Sink as _, Take};
use crate::requests::join::{Behind, End, Join, join};
use crate::requests::span::Role;
use crate::requests::span::{COLUMNS, Spans};

/// The most spans of all joined traces in an answer.
pub(super) const MOST_SPANS: usize = 20_000;
/// From trace to trace, so many times.
const MOST_ROUNDS: usize = 16;
/// Traces that one answer puts together.
const MOST_TRACES: usize = 64;
/// Spans of the wire that are looked at for one answer.
const MOST_READ: usize = 500_000;
/// Spans of the asked connections that are kept.
const MOST_ENDS: usize = 20_000;
/// The longest time in which neighbours are looked for, ns.
const MOST_NS: i64 = 600_000_000_000;
/// How far beyond a span its neighbours are looked for, ns: more than clocks may differ.
const AROUND_NS: i64 = 50_000_000;
/// How far from a request the window of its flow may lie, ns.
const WINDOWS_NS: i64 = 60_000_000_000;
/// What is less sure is told, but not followed.
const FOLLOWED: f64 = 0.5;

/// What was found of a trace.
#[derive(Debug, Default)]
pub(super) struct Joined {
    /// Spans in the answer.
    pub(super) spans: usize,
    /// The asked trace, then those that were joined to it.
    pub(super) traces: Vec<String>,
    ends: BTreeMap<(String, String), End>,
    /// What neighbours were not looked for yet.
    new: Vec<End>,
    /// What flows say of addresses that clients asked for.
    behind: Behind,
    read: usize,
}

impl Joined {
    /// Writes the spans of a trace and of those that are joined to it.
    pub(super) async fn write(
        session: &Session,
        id: &str,
        range: Range,
        answer: &mut Answer,
    ) -> Result<Self, ApiError> {
        let mut joined = Self::default();
        joined.load(session, id.to_owned(), range, answer).await?;
        for round in 0.. {
            let new = std::mem::take(&mut joined.new);
            if new.is_empty() {
                break;
            }
            if round == MOST_ROUNDS {
                joined.cut(session, &format!("joins were followed {MOST_ROUNDS} times, not to their end"));
                break;
            }
            joined.neighbours(session, &new).await?;
            joined.look_behind(session).await?;
            for trace in joined.next_traces() {
                if joined.traces.len() >= MOST_TRACES {
                    joined.cut(session, &format!("only {MOST_TRACES} traces are put together"));
                    return Ok(joined);
                }
                joined.load(session, trace, range, answer).await?;
            }
        }
        Ok(joined)
    }

    /// The joins of its spans, by the client's span.
    pub(super) fn joins(&self) -> Vec<Map<String, Value>> {
        let ends: Vec<End> = self.ends.values().cloned().collect();
        let is_shown = |at: usize| self.traces.contains(&ends[at].trace_id);
        let shown = join(&ends, &self.behind)
            .into_iter()
            .filter(|join| is_shown(join.client) || join.server.is_some_and(is_shown));
        shown
            .map(|Join { client, server, confidence, candidates, by }| {
                let mut row = Map::new();
                let mut say = |key: &str, value: Value| drop(row.insert(key.to_owned(), value));
                say("client_trace_id", Value::from(ends[client].trace_id.as_str()));
                say("client_span_id", Value::from(ends[client].span_id.as_str()));
                if let Some(server) = server {
                    say("server_trace_id", Value::from(ends[server].trace_id.as_str()));
                    say("server_span_id", Value::from(ends[server].span_id.as_str()));
                    say("confidence", Value::from((confidence * 100.0).round() / 100.0));
                }
                say("by", Value::from(by.as_str()));
                say("candidates", Value::from(candidates));
                row
            })
            .collect()
    }

    fn cut(&self, session: &Session, detail: &str) {
        session.reasons.add(Reason::new(ReasonCode::RowLimit, detail));
    }

    /// Writes the spans of one trace and notes the ends of their connections.
    async fn load(
        &mut self,
        session: &Session,
        id: String,
        range: Range,
        answer: &mut Answer,
    ) -> Result<(), ApiError> {
        let request = ScanRequest {
            from_ns: range.from_ns,
            to_ns: range.to_ns,
            equals: vec![(String::from("trace_id"), id.clone())],
            limit: Some(MOST_SPANS.saturating_sub(self.spans)),
            order: Order::OldestFirst,
            ..ScanRequest::default()
        };
        self.traces.push(id);
        let mut batches = session.snapshot.scan(Table::Span, request).map_err(QueryError::Scan)?;
        while let Some(batch) = batches.next().await {
            match batch {
                Ok(batch) => {
                    self.spans += batch.num_rows();
                    for end in
                        Spans::of(&batch).iter().flat_map(Spans::iter).filter_map(|span| End::of(&span))
                    {
                        self.ends.insert((end.trace_id.clone(), end.span_id.clone()), end.clone());
                        self.new.push(end);
                    }
                    if answer.rows(&batch) == Take::Enough || self.spans >= MOST_SPANS {
                        self.cut(session, "the trace has more spans than one answer may have");
                        break;
                    }
                }
                Err(error) if error.is_partial() => session.reasons.add_scan(&error),
                Err(error) => return Err(QueryError::Scan(error).into()),
            }
        }
        Ok(())
    }

    /// Reads the spans of the wire beside these: of the same connections, at about the same time.
    async fn neighbours(&mut self, session: &Session, new: &[End]) -> Result<(), ApiError> {
        let mut connections: BTreeMap<_, Vec<(i64, i64)>> = BTreeMap::new();
        for end in new {
            let around = (end.start_ns.saturating_sub(AROUND_NS), end.end_ns.saturating_add(AROUND_NS));
            connections.entry(end.connection()).or_default().push(around);
        }
        let is_near = |end: &End| {
            let times = connections.get(&end.connection());
            times.is_some_and(|times| {
                times.iter().any(|(from, to)| end.start_ns <= *to && end.end_ns >= *from)
            })
        };
        let from_ns = new.iter().map(|end| end.start_ns).min().unwrap_or_default().saturating_sub(AROUND_NS);
        let to_ns = new.iter().map(|end| end.end_ns).max().unwrap_or_default().saturating_add(AROUND_NS);
        if to_ns.saturating_sub(from_ns) > MOST_NS {
            self.cut(session, "other ends were looked for in the first ten minutes of the trace only");
        }
        let request = ScanRequest {
            from_ns,
            to_ns: to_ns.min(from_ns.saturating_add(MOST_NS)),
            columns: Some(COLUMNS.map(str::to_owned).to_vec()),
            equals: vec![(String::from("source"), String::from("wake"))],
            ..ScanRequest::default()
        };
        let mut batches = session.snapshot.scan(Table::Span, request).map_err(QueryError::Scan)?;
        while let Some(batch) = batches.next().await {
            match batch {
                Ok(batch) => {
                    self.read += batch.num_rows();
                    let ends = Spans::of(&batch);
                    let ends = ends.iter().flat_map(Spans::iter).filter_map(|span| End::of(&span));
                    for end in ends.filter(is_near) {
                        let key = (end.trace_id.clone(), end.span_id.clone());
                        if self.ends.len() < MOST_ENDS {
                            self.ends.entry(key).or_insert(end);
                        }
                    }
                    if self.read >= MOST_READ || self.ends.len() >= MOST_ENDS {
                        self.cut(session, "more spans lie beside the trace than are looked at for its joins");
                        break;
                    }
                }
                Err(error) if error.is_partial() => session.reasons.add_scan(&error),
                Err(error) => return Err(QueryError::Scan(error).into()),
            }
        }
        Ok(())
    }

    /// Reads from flows which real addresses are behind those that clients asked for, where no server's span has these.
    async fn look_behind(&mut self, session: &Session) -> Result<(), ApiError> {
        let mut real: BTreeMap<_, BTreeSet<SocketAddr>> = BTreeMap::new();
        for end in self.ends.values().filter(|end| end.role == Role::Server) {
            real.entry(end.connection()).or_default().insert(end.server);
        }
        // only where the same connection has another address at its other end
        let is_asked = |end: &&End| {
            end.role == Role::Client
                && real.get(&end.connection()).is_some_and(|real| !real.contains(&end.server))
        };
        let asked: Vec<&End> = self.ends.values().filter(is_asked).collect();
        let addresses: BTreeSet<SocketAddr> = asked.iter().map(|end| end.server).collect();
        let (Some(from_ns), Some(to_ns)) =
            (asked.iter().map(|end| end.start_ns).min(), asked.iter().map(|end| end.end_ns).max())
        else {
            return Ok(());
        };
        let columns = ["asked_address", "asked_port", "peer_address", "server_port"];
        let request = ScanRequest {
            from_ns: from_ns.saturating_sub(WINDOWS_NS),
            to_ns: to_ns.min(from_ns.saturating_add(MOST_NS)).saturating_add(WINDOWS_NS),
            columns: Some(columns.map(str::to_owned).to_vec()),
            equals: vec![(String::from("role"), String::from("client"))],
            ..ScanRequest::default()
        };
        let mut batches = session.snapshot.scan(Table::Flow, request).map_err(QueryError::Scan)?;
        while let Some(batch) = batches.next().await {
            match batch {
                Ok(batch) => {
                    self.read += batch.num_rows();
                    for row in json::objects(&batch, &[]) {
                        let ends =
                            socket(&row, columns[0], columns[1]).zip(socket(&row, columns[2], columns[3]));
                        self.behind.extend(ends.filter(|(asked, _)| addresses.contains(asked)));
                    }
                    if self.read >= MOST_READ {
                        break;
                    }
                }
                Err(error) if error.is_partial() => session.reasons.add_scan(&error),
                Err(error) => return Err(QueryError::Scan(error).into()),
            }
        }
        Ok(())
    }

    /// Traces that are joined to those that are here, and are not here yet.
    fn next_traces(&self) -> BTreeSet<String> {
        let ends: Vec<End> = self.ends.values().cloned().collect();
        let mut next = BTreeSet::new();
        for Join { client, server, confidence, .. } in join(&ends, &self.behind) {
            let Some(server) = server.filter(|_| confidence >= FOLLOWED) else { continue };
            let [client, server] = [client, server].map(|at| &ends[at].trace_id);
            match (self.traces.contains(client), self.traces.contains(server)) {
                (true, false) => drop(next.insert(server.clone())),
                (false, true) => drop(next.insert(client.clone())),
                _ => {}
            }
        }
        next
    }
}

/// An address and a port of a row.
fn socket(row: &Map<String, Value>, address: &str, port: &str) -> Option<SocketAddr> {
    let address: IpAddr = row.get(address)?.as_str()?.parse().ok()?;
    let port = u16::try_from(row.get(port)?.as_i64()?).ok()?;
    Some(SocketAddr::new(address.to_canonical(), port))
}
