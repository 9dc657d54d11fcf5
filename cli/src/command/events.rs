//! `wake events`: processes that started, ended or were killed.

use anyhow::Result;
use serde_json::Value;

use super::{filters, show};
use crate::args::Events;
use crate::client::{Client, Row};
use crate::out::{Out, Tone};
use crate::show::table::{Align, Cell, cell, toned, value};
use crate::show::{number, text, units, workload};

const BACK: &str = "15m";

const HEAD: [(&str, Align); 8] = [
    ("TIME (UTC)", Align::Left),
    ("EVENT", Align::Left),
    ("WORKLOAD", Align::Left),
    ("PID", Align::Right),
    ("LIVED", Align::Right),
    ("CPU", Align::Right),
    ("ENDED", Align::Left),
    ("COMMAND", Align::Left),
];

pub(super) async fn run(args: &Events, client: &Client, out: &Out) -> Result<()> {
    let mut params = args.scope.params(BACK);
    params.extend(filters(&args.filters)?);
    params.extend(args.texts.params());
    params.push(("limit", args.limit.to_string()));
    let mut answer = client.rows("events", &params).await?;
    answer.rows.reverse();
    show(out, &answer, &HEAD, row, &format!("no process events {}", args.scope.words(BACK)))
}

fn row(row: &Row) -> Vec<Cell> {
    let event = text(row, "event");
    let tone = if event == "oom_kill" { Tone::Bad } else { Tone::Plain };
    let count = number(row, "count").unwrap_or(1.0);
    let event = if count > 1.0 { format!("{event} ×{}", units::count(count)) } else { event.to_owned() };
    vec![
        toned(units::time(text(row, "ts")), Tone::Dim),
        toned(event, tone),
        cell(workload(row)),
        value(number(row, "pid"), |pid| format!("{pid:.0}")),
        value(number(row, "lifetime_ns").map(|ns| ns / 1e9), units::seconds),
        value(number(row, "cpu_ns").map(|ns| ns / 1e9), units::seconds),
        ended(row),
        cell(command(row)),
    ]
}

fn ended(row: &Row) -> Cell {
    match (number(row, "exit_signal").filter(|signal| *signal > 0.0), number(row, "exit_code")) {
        (Some(signal), _) => toned(format!("signal {signal}"), Tone::Bad),
        (None, Some(code)) if code != 0.0 => toned(format!("exit {code}"), Tone::Warn),
        (None, Some(_)) => toned("exit 0", Tone::Good),
        (None, None) => cell(""),
    }
}

/// The arguments as they were given, else the executable.
fn command(row: &Row) -> String {
    let executable = text(row, "executable");
    let Some(Value::Array(arguments)) = row.get("arguments") else { return executable.to_owned() };
    let arguments: Vec<&str> = arguments.iter().filter_map(Value::as_str).collect();
    if arguments.is_empty() { executable.to_owned() } else { arguments.join(" ") }
}
