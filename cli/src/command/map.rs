//! `wake map`: who asks whom, and how that goes.

mod draw;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

use super::{filters, remark_reason};
use crate::args::{Draw, Map};
use crate::client::{Client, Row};
use crate::out::{Out, Tone};
use crate::show::table::{Align, Cell, bad_if_any, cell, render, toned, value};
use crate::show::{number, text, units};

const BACK: &str = "15m";

const HEAD: [(&str, Align); 14] = [
    ("CLIENT", Align::Left),
    ("", Align::Left),
    ("SERVER", Align::Left),
    ("PROTOCOL", Align::Left),
    ("REQ/S", Align::Right),
    ("ERRORS", Align::Right),
    ("P50", Align::Right),
    ("P99", Align::Right),
    ("SENT", Align::Right),
    ("RECEIVED", Align::Right),
    ("CONNS", Align::Right),
    ("SRTT", Align::Right),
    ("RETRANS", Align::Right),
    ("FAILED", Align::Right),
];

/// The answer of `map`.
#[derive(Debug, Deserialize)]
struct Found {
    #[serde(rename = "rows")]
    edges: Vec<Edge>,
    nodes: Vec<Row>,
    #[serde(default)]
    more_edges: u64,
    #[serde(default)]
    reasons: Vec<Row>,
}

/// One edge; what only flows say stays as it came.
#[derive(Debug, Deserialize)]
struct Edge {
    client: String,
    server: String,
    requests: Vec<Row>,
    #[serde(flatten)]
    traffic: Row,
}

pub(super) async fn run(args: &Map, client: &Client, out: &Out) -> Result<()> {
    let mut params = args.scope.params(BACK);
    params.extend(filters(&args.filters)?);
    params.push(("limit", args.limit.to_string()));
    let answer = client.object_with("map", &params).await?;
    if out.is_json() && args.draw.is_none() {
        return Ok(out.line(&serde_json::to_string(&answer)?)?);
    }
    let found: Found = serde_json::from_value(Value::Object(answer)).context("read the map")?;
    match args.draw {
        Some(Draw::Dot) => out.text(&draw::dot(&found.nodes, &found.edges))?,
        Some(Draw::Mermaid) => out.text(&draw::mermaid(&found.nodes, &found.edges))?,
        None if found.edges.is_empty() => {
            out.remark(&format!("nobody asked anybody {}", args.scope.words(BACK)));
        }
        None => {
            let rows: Vec<Vec<Cell>> = found.edges.iter().flat_map(rows).collect();
            for line in render(out, &HEAD, &rows) {
                out.line(&line)?;
            }
        }
    }
    if found.more_edges > 0 {
        out.remark(&format!("and {} more edges; -n shows more, workload=NAME others", found.more_edges));
    }
    found.reasons.iter().for_each(|reason| remark_reason(out, reason));
    Ok(())
}

/// A line for each protocol, the first one with the edge and its traffic.
fn rows(edge: &Edge) -> Vec<Vec<Cell>> {
    let nothing = Row::new();
    let mut protocols: Vec<&Row> = edge.requests.iter().collect();
    if protocols.is_empty() {
        protocols.push(&nothing);
    }
    let mut lines = Vec::new();
    for (at, requests) in protocols.into_iter().enumerate() {
        let mut line = match at {
            0 => vec![cell(edge.client.clone()), toned("→", Tone::Dim), cell(edge.server.clone())],
            _ => vec![cell(""), cell(""), cell("")],
        };
        line.push(cell(text(requests, "protocol")));
        line.push(value(number(requests, "per_s"), rate));
        line.push(bad_if_any(number(requests, "errors")));
        line.push(value(number(requests, "p50_us"), units::micros));
        line.push(value(number(requests, "p99_us"), units::micros));
        if at == 0 {
            let said = |name: &str| number(&edge.traffic, name);
            line.push(value(said("bytes_sent"), units::bytes));
            line.push(value(said("bytes_received"), units::bytes));
            line.push(value(said("connections"), units::count));
            line.push(value(said("srtt_us"), units::micros));
            line.push(bad_if_any(said("retransmits")));
            line.push(bad_if_any(said("failures")));
        } else {
            line.extend(std::iter::repeat_with(|| cell("")).take(6));
        }
        lines.push(line);
    }
    lines
}

/// Requests a second: `0.02`, `3.4`, `12.3 k`.
fn rate(per_s: f64) -> String {
    match per_s {
        ..0.095 => format!("{per_s:.2}"),
        ..99.95 => format!("{per_s:.1}"),
        _ => units::count(per_s),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Found, HEAD, draw, rows};
    use crate::args::Output;
    use crate::out::Out;
    use crate::show::table::render;

    fn found() -> Found {
        serde_json::from_value(json!({
            "rows": [
                {
                    "client": "shop/web", "server": "shop/cart", "bytes_sent": 2048, "bytes_received": 512,
                    "connections": 3, "failures": 0, "resets": 0, "retransmits": 1, "srtt_us": 120,
                    "requests": [
                        {"protocol": "http", "count": 30, "errors": 2, "per_s": 3.0, "p50_us": 1500.0, "p99_us": 9000.0},
                        {"protocol": "grpc", "count": 1, "errors": 0, "per_s": 0.02, "p50_us": 700.0, "p99_us": 700.0},
                    ],
                },
                {"client": "shop/cart", "server": "pay\"\n.example", "requests": []},
            ],
            "nodes": [
                {"name": "shop/web", "namespace": "shop", "workload": "web", "kind": "Deployment"},
                {"name": "shop/cart", "namespace": "shop", "workload": "cart", "kind": "Deployment"},
                {"name": "pay\"\n.example", "kind": "external"},
            ],
        }))
        .unwrap()
    }

    #[test]
    fn each_protocol_has_a_line() {
        let rows: Vec<_> = found().edges.iter().flat_map(rows).collect();
        let lines = render(&Out::new(Output::Json), &HEAD, &rows);
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            words(&lines[1]),
            "shop/web → shop/cart http 3.0 2 1.5 ms 9.0 ms 2.0 KiB 512 B 3 120 us 1 0"
        );
        assert_eq!(words(&lines[2]), "grpc 0.02 0 700 us 700 us");
        assert_eq!(words(&lines[3]), "shop/cart → pay\"\u{fffd}.example - - - - - - - - - -");
    }

    #[test]
    fn pictures_have_every_node_and_edge_whatever_they_are_called() {
        let found = found();
        let dot = draw::dot(&found.nodes, &found.edges);
        assert!(dot.starts_with("digraph wake {") && dot.ends_with("}\n"), "{dot}");
        assert!(
            dot.contains("n0 -> n1 [label=\"http 3.0/s, 2 errors, p99 9.0 ms\\ngrpc 0.02/s, p99 700 us\""),
            "{dot}"
        );
        assert!(dot.contains("n2 [label=\"pay\\\"\u{fffd}.example\", shape=ellipse]"), "{dot}");
        let mermaid = draw::mermaid(&found.nodes, &found.edges);
        assert!(mermaid.starts_with("flowchart LR\n"), "{mermaid}");
        assert!(mermaid.contains("n2([\"pay#quot;\u{fffd}.example\"])"), "{mermaid}");
        assert!(mermaid.contains("n1 --> n2\n"), "{mermaid}");
    }
}
