//! The table kernel × probe × result, instructions verified per program, from the tests' `kernel-table` lines.
//!
//! A line is `kernel-table\t<probe>\t<program>\t<state>\t<instructions>`; further fields are shown as they are.

use std::collections::BTreeMap;

use super::vm::Run;
use crate::out;

pub(super) fn print(runs: &[Run]) {
    let mut cells: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (column, run) in runs.iter().enumerate() {
        for row in &run.rows {
            let (name, value) = split(row);
            let line = cells.entry(name).or_insert_with(|| vec![String::new(); runs.len()]);
            line[column] = value;
        }
    }
    let width = cells.keys().map(String::len).max().unwrap_or(0).max(20);
    let short: Vec<&str> = runs.iter().map(|run| run.release.trim_end_matches("-cloud-amd64")).collect();
    let columns: Vec<usize> = short
        .iter()
        .enumerate()
        .map(|(column, name)| {
            cells.values().map(|line| line[column].chars().count()).max().unwrap_or(0).max(name.len())
        })
        .collect();
    out::step("probes by kernel (state, instructions verified)");
    let line = |name: &str, values: &[String]| {
        let mut text = format!("{name:<width$}");
        for (value, column) in values.iter().zip(&columns) {
            text.push_str(&format!("  {value:<column$}"));
        }
        out::line(text.trim_end());
    };
    line("", &short.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    for (name, values) in &cells {
        line(name, values);
    }
    let tests: Vec<String> =
        runs.iter().map(|run| format!("{} of {} pass", run.passed(), run.tests.len())).collect();
    line("tests", &tests);
}

/// `probe/program`, and the rest.
fn split(row: &[String]) -> (String, String) {
    match row {
        [probe, program, rest @ ..] => (format!("{probe}/{program}"), rest.join(" ")),
        row => (row.join(" "), String::new()),
    }
}
