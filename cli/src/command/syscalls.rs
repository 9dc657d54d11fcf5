//! `wake syscalls`: which syscalls a workload makes, their errors and latency.

use anyhow::Result;
use serde_json::Value;

use super::{filters, show};
use crate::args::{SyscallSort, Syscalls};
use crate::client::{Client, Row};
use crate::out::{Out, Tone};
use crate::show::table::{Align, Cell, bad_if_any, cell, toned, value};
use crate::show::{number, text, units, workload};

const BACK: &str = "5m";

const HEAD: [(&str, Align); 8] = [
    ("WORKLOAD", Align::Left),
    ("SYSCALL", Align::Left),
    ("CLASS", Align::Left),
    ("COUNT", Align::Right),
    ("ERRORS", Align::Right),
    ("P50", Align::Right),
    ("P99", Align::Right),
    ("ERRNOS", Align::Left),
];

pub(super) async fn run(args: &Syscalls, client: &Client, out: &Out) -> Result<()> {
    let mut params = args.scope.params(BACK);
    params.extend(filters(&args.filters)?);
    params.push(("limit", args.limit.to_string()));
    let sort = match args.sort {
        SyscallSort::Count => "count",
        SyscallSort::Errors => "errors",
        SyscallSort::P99 => "p99",
    };
    params.push(("sort", sort.to_owned()));
    let answer = client.rows("syscalls", &params).await?;
    show(out, &answer, &HEAD, row, &format!("no syscalls {}", args.scope.words(BACK)))
}

fn row(row: &Row) -> Vec<Cell> {
    vec![
        cell(workload(row)),
        cell(text(row, "syscall")),
        toned(text(row, "class"), Tone::Dim),
        value(number(row, "count"), units::count),
        bad_if_any(number(row, "errors")),
        value(number(row, "p50_us"), units::micros),
        value(number(row, "p99_us"), units::micros),
        cell(errnos(row)),
    ]
}

/// `ENOENT 12, EACCES 3`, the most frequent first.
fn errnos(row: &Row) -> String {
    let Some(Value::Object(errnos)) = row.get("errnos") else { return String::new() };
    let mut counts: Vec<(&String, f64)> =
        errnos.iter().filter_map(|(name, count)| Some((name, count.as_f64()?))).collect();
    counts.sort_by(|left, right| right.1.total_cmp(&left.1));
    let shown: Vec<String> =
        counts.iter().take(4).map(|(name, count)| format!("{name} {}", units::count(*count))).collect();
    shown.join(", ")
}
