//! `wake logs --histogram`: how many lines, when, by level or workload.

use std::collections::BTreeMap;

use anyhow::Result;

use super::BACK;
use crate::args::{By, Logs};
use crate::client::{Client, Row};
use crate::command::remark_incomplete;
use crate::out::{Out, Tone};
use crate::show::table::{Align, Cell, cell, render, toned};
use crate::show::{number, text, units};

/// Width of the longest bar.
const BAR: usize = 40;
/// Groups that have a column of their own.
const GROUPS: usize = 6;

pub(super) async fn run(
    args: &Logs,
    by: By,
    wanted: Vec<(&'static str, String)>,
    client: &Client,
    out: &Out,
) -> Result<()> {
    let by = match by {
        By::Level => "level",
        By::Workload => "workload",
    };
    let mut params = wanted;
    params.extend(args.scope.params(BACK));
    params.push(("by", by.to_owned()));
    let answer = client.rows("logs/histogram", &params).await?;
    if out.is_json() {
        for row in &answer.rows {
            out.line(&serde_json::to_string(row)?)?;
        }
    } else if answer.rows.is_empty() {
        out.remark(&format!("no line {}; --since looks further back", args.scope.words(BACK)));
    } else {
        for line in table(&answer.rows, by, out) {
            out.line(&line)?;
        }
    }
    remark_incomplete(out, &answer);
    Ok(())
}

fn table(rows: &[Row], by: &str, out: &Out) -> Vec<String> {
    let mut times: BTreeMap<&str, BTreeMap<&str, f64>> = BTreeMap::new();
    let mut groups: BTreeMap<&str, f64> = BTreeMap::new();
    for row in rows {
        let count = number(row, "count").unwrap_or(0.0);
        *times.entry(text(row, "ts")).or_default().entry(text(row, by)).or_default() += count;
        *groups.entry(text(row, by)).or_default() += count;
    }
    let mut groups: Vec<(&str, f64)> = groups.into_iter().collect();
    groups.sort_by(|left, right| right.1.total_cmp(&left.1));
    groups.truncate(GROUPS);
    let most = times.values().map(|counts| counts.values().sum::<f64>()).fold(1.0, f64::max);
    let mut head = vec![("TIME (UTC)", Align::Left), ("LINES", Align::Right)];
    head.extend(groups.iter().map(|(name, _)| (if name.is_empty() { "(none)" } else { name }, Align::Right)));
    head.push(("", Align::Left));
    let rows: Vec<Vec<Cell>> = times
        .iter()
        .map(|(time, counts)| {
            let total: f64 = counts.values().sum();
            let mut cells = vec![toned(units::time(time), Tone::Dim), cell(units::count(total))];
            let of =
                |name: &&str| cell(counts.get(name).map(|count| units::count(*count)).unwrap_or_default());
            cells.extend(groups.iter().map(|(name, _)| of(name)));
            let bar = (total / most * BAR as f64).ceil() as usize;
            cells.push(toned("█".repeat(bar), Tone::Match));
            cells
        })
        .collect();
    render(out, &head, &rows)
}
