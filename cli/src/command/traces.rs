//! `wake traces`: requests by what happened in them; `wake trace ID`: one of them as a waterfall.

mod waterfall;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

use super::{filters, show};
use crate::args::{Trace, Traces};
use crate::client::{Client, Row};
use crate::out::{Out, Tone};
use crate::show::table::{Align, Cell, bad_if_any, cell, toned, value};
use crate::show::{number, text, units};

const BACK: &str = "1h";

const HEAD: [(&str, Align); 7] = [
    ("TIME (UTC)", Align::Left),
    ("TRACE", Align::Left),
    ("SERVICE", Align::Left),
    ("NAME", Align::Left),
    ("TOOK", Align::Right),
    ("SPANS", Align::Right),
    ("ERRORS", Align::Right),
];

pub(super) async fn run(args: &Traces, client: &Client, out: &Out) -> Result<()> {
    let mut params = args.scope.params(BACK);
    params.extend(filters(&args.filters)?);
    params.extend(args.texts.params());
    let given = [
        ("service", &args.service),
        ("workload", &args.workload),
        ("name", &args.name),
        ("protocol", &args.protocol),
        ("min_duration", &args.min),
        ("max_duration", &args.max),
    ];
    params.extend(given.into_iter().filter_map(|(name, text)| Some((name, text.clone()?))));
    if args.errors {
        params.push(("status", "error".to_owned()));
    }
    params.push(("limit", args.limit.to_string()));
    let answer = client.rows("traces", &params).await?;
    show(out, &answer, &HEAD, row, &format!("no trace {}", args.scope.words(BACK)))
}

fn row(row: &Row) -> Vec<Cell> {
    vec![
        toned(units::time(text(row, "ts")), Tone::Dim),
        cell(text(row, "trace_id")),
        cell(text(row, "root_service")),
        cell(text(row, "root_name")),
        value(number(row, "duration_ns").map(|ns| ns / 1e3), units::micros),
        value(number(row, "spans"), units::count),
        bad_if_any(number(row, "errors")),
    ]
}

/// The answer of `traces/ID`.
#[derive(Debug, Deserialize)]
struct Found {
    #[serde(rename = "rows")]
    spans: Vec<Row>,
    logs: Vec<Row>,
    #[serde(default)]
    joins: Vec<Row>,
    #[serde(default)]
    reasons: Vec<Row>,
}

pub(super) async fn one(args: &Trace, client: &Client, out: &Out) -> Result<()> {
    let answer = client.object(&format!("traces/{}", args.id)).await?;
    if out.is_json() {
        return Ok(out.line(&serde_json::to_string(&answer)?)?);
    }
    let found: Found = serde_json::from_value(Value::Object(answer)).context("read the trace")?;
    let width = out.size().map_or(120, |(columns, _)| columns);
    for line in waterfall::lines(&found.spans, &found.logs, &found.joins, width, out) {
        out.line(&line)?;
    }
    for reason in &found.reasons {
        out.remark(&format!("incomplete: {} ({})", text(reason, "detail"), text(reason, "code")));
    }
    Ok(())
}
