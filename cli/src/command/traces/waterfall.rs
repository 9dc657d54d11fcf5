//! Spans as a tree beside their time, each with the log lines that were written in it.
//!
//! A server's span that was joined to a client's by their connection stands below it, with how sure that is: `≈ 97 %`. So
//! does a client's span that the agent joined to the server's span whose thread made the request.

use std::collections::{HashMap, HashSet};

use crate::client::Row;
use crate::out::{Out, Tone};
use crate::show::table::clean;
use crate::show::{number, text, units, workload};

/// Columns of the bar that shows when a span ran.
const BAR: usize = 24;
/// Deeper spans stand at this depth.
const MAX_DEPTH: usize = 24;

/// When a span ran, ns since the trace began.
#[derive(Clone, Copy, Debug)]
struct Ran {
    start: f64,
    length: f64,
}

/// A head, a line for each span and each of its log lines, then the log lines of no span.
pub(super) fn lines(spans: &[Row], logs: &[Row], joins: &[Row], width: usize, out: &Out) -> Vec<String> {
    let begin = spans.iter().filter_map(start).fold(f64::INFINITY, f64::min);
    let ran: Vec<Ran> = spans
        .iter()
        .map(|span| Ran {
            start: start(span).map_or(0.0, |start| start - begin),
            length: number(span, "duration_ns").unwrap_or_default(),
        })
        .collect();
    let whole = ran.iter().map(|ran| ran.start + ran.length).fold(0.0, f64::max);
    let mut lines = vec![head(spans, logs, whole, out)];
    let mut left: HashMap<&str, Vec<&Row>> = HashMap::new();
    for line in logs {
        left.entry(text(line, "span_id")).or_default().push(line);
    }
    let joins = Joins::new(spans, joins);
    for (index, depth) in tree(spans, &ran, &joins) {
        let mark = joins.mark(&spans[index]);
        lines.push(cut(&span_line(&spans[index], ran[index], whole, depth, &mark, out), width, out));
        for line in left.remove(text(&spans[index], "span_id")).unwrap_or_default() {
            lines.push(cut(&log_line(line, depth + 1, out), width, out));
        }
    }
    let mut rest: Vec<&Row> = left.into_values().flatten().collect();
    rest.sort_by_key(|line| text(line, "ts"));
    if !rest.is_empty() && !spans.is_empty() {
        lines.push(out.paint(Tone::Dim, "log lines of spans that are not here, or of none:"));
    }
    lines.extend(rest.into_iter().map(|line| cut(&log_line(line, 0, out), width, out)));
    lines
}

fn head(spans: &[Row], logs: &[Row], whole: f64, out: &Out) -> String {
    let id = spans.first().or(logs.first()).map(|row| text(row, "trace_id")).unwrap_or_default();
    let began = spans.first().map(|span| units::time(text(span, "ts"))).unwrap_or_default();
    let errors = spans.iter().filter(|span| text(span, "status") == "error").count();
    let sums = format!(
        "{began}  {}  {} spans, {errors} errors, {} log lines",
        units::micros(whole / 1e3),
        spans.len(),
        logs.len()
    );
    format!("{}  {sums}", out.paint(Tone::Head, id))
}

/// What was joined, by span.
#[derive(Debug, Default)]
struct Joins<'a> {
    /// The client's span of a server's, and how sure that is.
    client: HashMap<&'a str, (&'a str, f64)>,
    /// How many servers' spans could be a client's other end.
    open: HashMap<&'a str, f64>,
    /// The trace of a client's other end, where that is not here, and how sure that is.
    elsewhere: HashMap<&'a str, (&'a str, f64)>,
}

impl<'a> Joins<'a> {
    fn new(spans: &[Row], joins: &'a [Row]) -> Self {
        let known: HashSet<&str> = spans.iter().map(|span| text(span, "span_id")).collect();
        let mut all = Self::default();
        for join in joins {
            let [client, server] = ["client_span_id", "server_span_id"].map(|end| text(join, end));
            let (confidence, candidates) = (number(join, "confidence"), number(join, "candidates"));
            match confidence {
                Some(confidence) if !known.contains(server) => {
                    all.elsewhere.insert(client, (text(join, "server_trace_id"), confidence));
                }
                Some(confidence) if known.contains(client) => {
                    all.client.insert(server, (client, confidence));
                }
                Some(_) => {}
                None => drop(all.open.insert(client, candidates.unwrap_or_default())),
            }
        }
        all
    }

    /// What is to be said of a span's other end.
    fn mark(&self, span: &Row) -> String {
        let id = text(span, "span_id");
        match (self.client.get(id), self.open.get(id)) {
            (Some((_, confidence)), _) => percent(*confidence),
            (None, Some(candidates)) => format!("  ? {candidates} could be its other end"),
            (None, None) if self.elsewhere.contains_key(id) => {
                let (trace, confidence) = self.elsewhere[id];
                format!("{} goes on in {trace}", percent(confidence))
            }
            // the agent joined a client's span to the server's span whose thread made the request
            (None, None) => {
                match attribute(span, "wake.join.confidence").and_then(|text| text.parse().ok()) {
                    Some(confidence) => percent(confidence),
                    None => String::new(),
                }
            }
        }
    }

    fn parent<'s>(&'s self, span: &'s Row) -> &'s str {
        self.client
            .get(text(span, "span_id"))
            .map_or_else(|| text(span, "parent_span_id"), |(client, _)| client)
    }
}

fn percent(confidence: f64) -> String {
    format!("  ≈ {:.0} %", confidence * 100.0)
}

fn attribute<'row>(span: &'row Row, key: &str) -> Option<&'row str> {
    span.get("attributes")?.get(key)?.as_str()
}

/// Each span once, its children after it by time; one whose parent is not here is a root.
fn tree(spans: &[Row], ran: &[Ran], joins: &Joins<'_>) -> Vec<(usize, usize)> {
    let known: HashSet<&str> = spans.iter().map(|span| text(span, "span_id")).collect();
    let mut children: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut roots = Vec::new();
    for (index, span) in spans.iter().enumerate() {
        let parent = joins.parent(span);
        if parent.is_empty() || !known.contains(parent) || parent == text(span, "span_id") {
            roots.push(index);
        } else {
            children.entry(parent).or_default().push(index);
        }
    }
    let by_time = |a: &usize, b: &usize| ran[*b].start.total_cmp(&ran[*a].start).then(b.cmp(a));
    children.values_mut().for_each(|list| list.sort_by(by_time));
    roots.sort_by(by_time);
    let mut shown = vec![false; spans.len()];
    let mut order = Vec::with_capacity(spans.len());
    let mut waiting: Vec<(usize, usize)> = roots.into_iter().map(|index| (index, 0)).collect();
    // spans whose parents lead in a circle come last
    let mut others = (0..spans.len()).rev().collect::<Vec<_>>();
    loop {
        let next = waiting.pop().or_else(|| others.pop().map(|index| (index, 0)));
        let Some((index, depth)) = next else { return order };
        if std::mem::replace(&mut shown[index], true) {
            continue;
        }
        order.push((index, depth.min(MAX_DEPTH)));
        let below = children.get(text(&spans[index], "span_id"));
        waiting.extend(below.into_iter().flatten().map(|child| (*child, depth + 1)));
    }
}

fn span_line(span: &Row, ran: Ran, whole: f64, depth: usize, mark: &str, out: &Out) -> String {
    let is_error = text(span, "status") == "error";
    let tone = if is_error { Tone::Bad } else { Tone::Good };
    let service = match text(span, "service") {
        "" => workload(span),
        service => service.to_owned(),
    };
    let mut said = format!("{}{} {}", "  ".repeat(depth), service, text(span, "name"));
    for part in [text(span, "kind"), text(span, "status_message")] {
        if !part.is_empty() {
            said.push_str(&format!("  {part}"));
        }
    }
    said.push_str(mark);
    let took = format!("{:>9}", units::micros(ran.length / 1e3));
    format!("{} {took}  {}", out.paint(tone, &bar(ran, whole)), paint_if(out, is_error, &clean(&said)))
}

fn paint_if(out: &Out, is_error: bool, text: &str) -> String {
    if is_error { out.paint(Tone::Bad, text) } else { text.to_owned() }
}

fn log_line(line: &Row, depth: usize, out: &Out) -> String {
    let level = text(line, "level");
    let tone = match level {
        "error" | "fatal" => Tone::Bad,
        "warn" => Tone::Warn,
        _ => Tone::Dim,
    };
    let time = units::time(text(line, "ts"));
    let clock = time.split_once(' ').map_or(time.as_str(), |(_, clock)| clock);
    let body = clean(text(line, "body")).replace('\t', " ");
    let space = " ".repeat(BAR + 12);
    format!("{space}{}{}", "  ".repeat(depth), out.paint(tone, &format!("· {clock} {level} {body}")))
}

fn bar(ran: Ran, whole: f64) -> String {
    let place = |ns: f64| if whole > 0.0 { (ns / whole * BAR as f64).round() as usize } else { 0 };
    let start = place(ran.start).min(BAR - 1);
    let end = place(ran.start + ran.length).clamp(start + 1, BAR);
    format!("{}{}{}", " ".repeat(start), "▇".repeat(end - start), " ".repeat(BAR - end))
}

/// Without colours a line ends at the terminal's edge; with them it is left to the terminal.
fn cut(line: &str, width: usize, out: &Out) -> String {
    if !out.terminal || line.contains('\x1b') {
        return line.to_owned();
    }
    line.chars().take(width).collect()
}

/// ns since the Unix epoch.
fn start(span: &Row) -> Option<f64> {
    let time: jiff::Timestamp = text(span, "ts").parse().ok()?;
    Some(time.as_nanosecond() as f64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Row, lines};
    use crate::args::Output;
    use crate::out::Out;

    fn row(value: serde_json::Value) -> Row {
        value.as_object().cloned().unwrap_or_default()
    }

    fn span(id: &str, parent: &str, at_ms: u32, took_ms: u32) -> Row {
        row(json!({
            "trace_id": "ab", "span_id": id, "parent_span_id": parent, "service": "s", "name": id,
            "ts": format!("2026-11-21T12:00:00.{at_ms:03}000000Z"), "duration_ns": took_ms * 1_000_000,
        }))
    }

    #[test]
    fn children_stand_below_their_parents_with_their_lines() {
        let spans =
            [span("c", "a", 50, 10), span("a", "", 0, 100), span("b", "a", 10, 30), span("x", "gone", 60, 5)];
        let logs = [
            row(
                json!({"ts": "2026-11-21T12:00:00.020Z", "span_id": "b", "level": "error", "body": "no\x1b stock"}),
            ),
            row(json!({"ts": "2026-11-21T12:00:00.030Z", "span_id": "q", "body": "lost"})),
        ];
        let shown = lines(&spans, &logs, &[], 200, &Out::new(Output::Json));
        let ends: Vec<&str> = shown.iter().skip(1).map(|line| line.trim_start_matches(['▇', ' '])).collect();
        assert_eq!(
            ends,
            [
                "100 ms  s a",
                "30.0 ms    s b",
                "· 12:00:00.020 error no\u{fffd} stock",
                "10.0 ms    s c",
                "5.0 ms  s x",
                "log lines of spans that are not here, or of none:",
                "· 12:00:00.030  lost",
            ]
        );
        assert!(shown[0].contains("100 ms  4 spans, 0 errors, 2 log lines"), "{}", shown[0]);
    }

    #[test]
    fn circles_and_twins_are_shown_once() {
        let spans = [span("a", "b", 0, 1), span("b", "a", 0, 1), span("c", "c", 0, 1), span("c", "", 0, 1)];
        assert_eq!(lines(&spans, &[], &[], 200, &Out::new(Output::Json)).len(), 5);
        assert_eq!(lines(&[], &[], &[], 80, &Out::new(Output::Json)).len(), 1);
    }
    #[test]
    fn joined_spans_stand_below_their_clients_with_their_confidence() {
        let mut spans =
            [span("q", "", 20, 50), span("s", "", 5, 90), span("c", "r", 2, 95), span("r", "", 0, 100)];
        spans[2].insert("attributes".to_owned(), json!({"wake.join.confidence": "0.8"}));
        let join = |client: &str, server: &str, confidence: f64| {
            row(json!({
                "client_span_id": client, "server_span_id": server, "confidence": confidence, "candidates": 1,
            }))
        };
        let open = row(json!({"client_span_id": "q", "candidates": 3}));
        let gone = row(json!({
            "client_span_id": "r", "server_span_id": "x", "server_trace_id": "cd", "confidence": 0.4,
        }));
        let joins = [join("c", "s", 0.97), join("elsewhere", "r", 0.99), open, gone];
        let shown = lines(&spans, &[], &joins, 200, &Out::new(Output::Json));
        let ends: Vec<&str> = shown.iter().skip(1).map(|line| line.trim_start_matches(['▇', ' '])).collect();
        assert_eq!(
            ends,
            [
                "100 ms  s r  ≈ 40 % goes on in cd",
                "95.0 ms    s c  ≈ 80 %",
                "90.0 ms      s s  ≈ 97 %",
                "50.0 ms  s q  ? 3 could be its other end",
            ]
        );
    }
}
