//! Spans as a tree beside their time, each with the log lines that were written in it.

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
pub(super) fn lines(spans: &[Row], logs: &[Row], width: usize, out: &Out) -> Vec<String> {
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
    for (index, depth) in tree(spans, &ran) {
        lines.push(cut(&span_line(&spans[index], ran[index], whole, depth, out), width, out));
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

/// Each span once, its children after it by time; one whose parent is not here is a root.
fn tree(spans: &[Row], ran: &[Ran]) -> Vec<(usize, usize)> {
    let known: HashSet<&str> = spans.iter().map(|span| text(span, "span_id")).collect();
    let mut children: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut roots = Vec::new();
    for (index, span) in spans.iter().enumerate() {
        let parent = text(span, "parent_span_id");
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

fn span_line(span: &Row, ran: Ran, whole: f64, depth: usize, out: &Out) -> String {
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
        let shown = lines(&spans, &logs, 200, &Out::new(Output::Json));
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
        assert_eq!(lines(&spans, &[], 200, &Out::new(Output::Json)).len(), 5);
        assert_eq!(lines(&[], &[], 80, &Out::new(Output::Json)).len(), 1);
    }
}
