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

const HEAD_VERSIONS: [(&str, Align); 6] =
    [HEAD[0], HEAD[1], HEAD[2], ("VERSION", Align::Left), HEAD[3], HEAD[4]];

pub(super) async fn run(args: &Patterns, client: &Client, out: &Out) -> Result<()> {
    let mut params = args.scope.params(BACK);
    params.extend(filters(&args.filters)?);
    params.extend(args.texts.iter().map(|text| ("contains", text.clone())));
    params.extend(args.version.iter().map(|version| ("version", version.clone())));
    params.push(("limit", args.limit.to_string()));
    let (show_only, what) = match args.show {
        PatternShow::Top => (None, "log patterns"),
        PatternShow::New => (Some("new"), "new log patterns"),
        PatternShow::Gone => (Some("gone"), "log patterns that are gone"),
        PatternShow::Surging => (Some("surging"), "surging log patterns"),
    };
    params.extend(show_only.map(|show| ("show", show.to_owned())));
    let answer = client.rows("patterns", &params).await?;
    // a column that says nothing takes room from the patterns
    let has_versions = answer.rows.iter().any(|row| !versions(row).is_empty());
    let (head, cells): (&[_], fn(&Row) -> Vec<Cell>) =
        if has_versions { (&HEAD_VERSIONS, row_versions) } else { (&HEAD, row) };
    show(out, &answer, head, cells, &format!("no {what} {}", args.scope.words(BACK)))
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

fn row_versions(of: &Row) -> Vec<Cell> {
    let mut cells = row(of);
    cells.insert(3, cell(versions(of)));
    cells
}

/// The version that had the first such line, and the one that had the last; `?` for lines that say none.
fn versions(row: &Row) -> String {
    let known = |name| Some(text(row, name)).filter(|version| !version.is_empty());
    match (known("first_version"), known("last_version")) {
        (None, None) => String::new(),
        (Some(first), Some(last)) if first == last => first.to_owned(),
        (first, last) => format!("{}..{}", first.unwrap_or("?"), last.unwrap_or("?")),
    }
}
