//! `wake patterns`: which kinds of lines workloads write, and which are new, gone or surging.

use anyhow::Result;

use super::{filters, show};
use crate::args::{PatternShow, Patterns};
use crate::client::{Client, Row};
use crate::out::{Out, Tone};
use crate::show::table::{Align, Cell, cell, toned, value};
use crate::show::{number, text, units, workload};

const BACK: &str = "1h";

const HEAD: [(&str, Align); 5] = [
    ("LINES", Align::Right),
    ("BEFORE", Align::Right),
    ("WORKLOAD", Align::Left),
    ("ID", Align::Left),
    ("PATTERN", Align::Left),
];

pub(super) async fn run(args: &Patterns, client: &Client, out: &Out) -> Result<()> {
    let mut params = args.scope.params(BACK);
    params.extend(filters(&args.filters)?);
    params.extend(args.texts.iter().map(|text| ("contains", text.clone())));
    params.push(("limit", args.limit.to_string()));
    let (show_only, what) = match args.show {
        PatternShow::Top => (None, "log patterns"),
        PatternShow::New => (Some("new"), "new log patterns"),
        PatternShow::Gone => (Some("gone"), "log patterns that are gone"),
        PatternShow::Surging => (Some("surging"), "surging log patterns"),
    };
    params.extend(show_only.map(|show| ("show", show.to_owned())));
    let answer = client.rows("patterns", &params).await?;
    show(out, &answer, &HEAD, row, &format!("no {what} {}", args.scope.words(BACK)))
}

fn row(row: &Row) -> Vec<Cell> {
    vec![
        value(number(row, "lines"), units::count),
        value(number(row, "lines_before"), units::count),
        cell(workload(row)),
        toned(text(row, "id"), Tone::Dim),
        cell(text(row, "pattern")),
    ]
}
