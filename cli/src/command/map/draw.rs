//! The map as the text of a picture: Graphviz's language, or Mermaid's.
//!
//! Names come from workloads: whatever would end a label is written so that it does not.

use super::{Edge, rate};
use crate::client::Row;
use crate::show::table::clean;
use crate::show::{number, text, units};

/// For `dot`.
pub(super) fn dot(nodes: &[Row], edges: &[Edge]) -> String {
    let quoted = |label: &str| clean(label).replace('\\', "\\\\").replace('"', "\\\"");
    let mut drawn = String::from("digraph wake {\n  rankdir=LR\n  node [fontname=\"sans-serif\"]\n");
    for (at, node) in nodes.iter().enumerate() {
        let shape = if is_workload(node) { "box" } else { "ellipse" };
        drawn += &format!("  n{at} [label=\"{}\", shape={shape}]\n", quoted(text(node, "name")));
    }
    for (client, server, edge) in places(nodes, edges) {
        let (lines, failed) = label(edge);
        let lines: Vec<String> = lines.iter().map(|line| quoted(line)).collect();
        let colour = if failed { ", color=red" } else { "" };
        drawn += &format!("  n{client} -> n{server} [label=\"{}\"{colour}]\n", lines.join("\\n"));
    }
    drawn + "}\n"
}

/// For what draws Mermaid.
pub(super) fn mermaid(nodes: &[Row], edges: &[Edge]) -> String {
    // a label is HTML, its entities begin with #
    let quoted = |label: &str| {
        let label = clean(label).replace('#', "#35;").replace('"', "#quot;");
        label.replace('<', "#lt;").replace('>', "#gt;")
    };
    let mut drawn = String::from("flowchart LR\n");
    for (at, node) in nodes.iter().enumerate() {
        let (begin, end) = if is_workload(node) { ("[", "]") } else { ("([", "])") };
        drawn += &format!("  n{at}{begin}\"{}\"{end}\n", quoted(text(node, "name")));
    }
    for (client, server, edge) in places(nodes, edges) {
        let lines: Vec<String> = label(edge).0.iter().map(|line| quoted(line)).collect();
        drawn += &match lines.is_empty() {
            true => format!("  n{client} --> n{server}\n"),
            false => format!("  n{client} -->|\"{}\"| n{server}\n", lines.join("<br/>")),
        };
    }
    drawn
}

fn is_workload(node: &Row) -> bool {
    !text(node, "workload").is_empty()
}

/// Edges between nodes by their numbers.
fn places<'a>(nodes: &[Row], edges: &'a [Edge]) -> Vec<(usize, usize, &'a Edge)> {
    let place = |name: &str| nodes.iter().position(|node| text(node, "name") == name);
    edges.iter().filter_map(|edge| Some((place(&edge.client)?, place(&edge.server)?, edge))).collect()
}

/// A line for each protocol, else the bytes; and whether anything failed.
fn label(edge: &Edge) -> (Vec<String>, bool) {
    let mut failed = false;
    let mut lines = Vec::new();
    for requests in &edge.requests {
        let protocol = match text(requests, "protocol") {
            "" => "requests",
            protocol => protocol,
        };
        let mut line = format!("{protocol} {}/s", rate(number(requests, "per_s").unwrap_or_default()));
        if let Some(errors) = number(requests, "errors").filter(|errors| *errors > 0.0) {
            failed = true;
            line += &format!(", {} errors", units::count(errors));
        }
        if let Some(p99) = number(requests, "p99_us") {
            line += &format!(", p99 {}", units::micros(p99));
        }
        lines.push(line);
    }
    let bytes = ["bytes_sent", "bytes_received"].map(|name| number(&edge.traffic, name));
    if let ([Some(sent), Some(received)], true) = (bytes, lines.is_empty()) {
        lines.push(units::bytes(sent + received));
    }
    (lines, failed)
}
