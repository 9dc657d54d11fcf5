//! The table kernel × probe × result, instructions verified per program, from the tests' `kernel-table` lines.
//!
//! A line is `kernel-table\t<probe>\t<program>\t<state>\t<instructions>\t<reason>`; a probe's own line has no program.

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

/// `probe`, or `probe/program`, and the rest.
fn split(row: &[String]) -> (String, String) {
    let joined = |rest: &[String]| {
        let given: Vec<&str> = rest.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
        given.join(" ")
    };
    match row {
        [probe, program, rest @ ..] if program.is_empty() => (probe.clone(), joined(rest)),
        [probe, program, rest @ ..] => (format!("{probe}/{program}"), joined(rest)),
        row => (row.join(" "), String::new()),
    }
}
