//! `wake flows`: who talks to whom, how much and how well.

use anyhow::Result;

use super::{filters, show};
use crate::args::{FlowSort, Flows};
use crate::client::{Client, Row};
use crate::out::{Out, Tone};
use crate::show::table::{Align, Cell, bad_if_any, cell, toned, value};
use crate::show::{number, peer, text, units, workload};

const BACK: &str = "15m";

const HEAD: [(&str, Align); 12] = [
    ("WORKLOAD", Align::Left),
    ("", Align::Left),
    ("PEER", Align::Left),
    ("PORT", Align::Right),
    ("SENT", Align::Right),
    ("RECEIVED", Align::Right),
    ("CONNS", Align::Right),
    ("RTT P50", Align::Right),
    ("P99", Align::Right),
    ("RETRANS", Align::Right),
    ("FAILED", Align::Right),
    ("RESETS", Align::Right),
];

pub(super) async fn run(args: &Flows, client: &Client, out: &Out) -> Result<()> {
    let mut params = args.scope.params(BACK);
    params.extend(filters(&args.filters)?);
    params.push(("limit", args.limit.to_string()));
    let sort = match args.sort {
        FlowSort::Bytes => "bytes",
        FlowSort::Retransmits => "retransmits",
        FlowSort::Rtt => "rtt",
        FlowSort::Failures => "failures",
    };
    params.push(("sort", sort.to_owned()));
    let answer = client.rows("flows", &params).await?;
    show(out, &answer, &HEAD, row, &format!("no flows {}", args.scope.words(BACK)))
}

fn row(row: &Row) -> Vec<Cell> {
    let arrow = match text(row, "role") {
        "client" => "→",
        "server" => "←",
        _ => "↔",
    };
    let connections = match (number(row, "connects"), number(row, "accepts")) {
        (None, None) => None,
        (connects, accepts) => Some(connects.unwrap_or(0.0) + accepts.unwrap_or(0.0)),
    };
    let port = number(row, "server_port")
        .filter(|port| *port > 0.0)
        .map(|port| format!("{port}/"))
        .unwrap_or_default();
    vec![
        cell(workload(row)),
        toned(arrow, Tone::Dim),
        cell(peer(row)),
        cell(format!("{port}{}", text(row, "protocol"))),
        value(number(row, "bytes_sent"), units::bytes),
        value(number(row, "bytes_received"), units::bytes),
        value(connections, units::count),
        value(number(row, "rtt_p50_us").or(number(row, "srtt_us")), units::micros),
        value(number(row, "rtt_p99_us"), units::micros),
        bad_if_any(number(row, "retransmits")),
        bad_if_any(number(row, "failures")),
        bad_if_any(number(row, "resets")),
    ]
}
