//! `wake doctor`: what works, what does not, and what to do; of the way to the aggregator, of it, and of every node.

use anyhow::{Result, bail};
use serde_json::{Map, Value};

use crate::args::Doctor;
use crate::client::{Client, Row};
use crate::out::{Out, Tone};
use crate::show::table::{Align, Cell, cell, render, toned};
use crate::show::text;

/// A clock that differs by more is said, seconds.
const SKEW_S: f64 = 5.0;

pub(super) async fn run(args: &Doctor, client: &Client, out: &Out) -> Result<()> {
    let mut rows = match &args.agent {
        Some(agent) => of_agent(agent, client).await,
        None => of_aggregator(client).await,
    };
    rows.sort_by_key(rank);
    let failed = rows.iter().filter(|row| text(row, "state") == "fail").count();
    if out.is_json() {
        for row in &rows {
            out.line(&serde_json::to_string(row)?)?;
        }
    } else {
        show(&rows, args.all, out)?;
    }
    if failed > 0 {
        bail!("{failed} of {} checks failed", rows.len());
    }
    Ok(())
}

fn rank(row: &Row) -> u8 {
    match text(row, "state") {
        "fail" => 0,
        "warn" => 1,
        _ => 2,
    }
}

async fn of_aggregator(client: &Client) -> Vec<Row> {
    match client.object("doctor").await {
        Ok(answer) => {
            let mut rows = vec![row("wake", "aggregator", "ok", "it answers", "")];
            rows.extend(clock(text(&answer, "now")));
            rows.extend(objects(answer.get("checks")));
            rows
        }
        Err(error) => vec![row("wake", "aggregator", "fail", &format!("{error:#}"), "")],
    }
}

async fn of_agent(agent: &str, client: &Client) -> Vec<Row> {
    let url = format!("{}/doctor", agent.trim_end_matches('/'));
    match client.any(&url).await {
        Ok(answer) => {
            let mut rows = objects(Some(&answer));
            for row in &mut rows {
                row.insert(String::from("who"), Value::from("agent"));
            }
            rows
        }
        Err(error) => vec![row("wake", "agent", "fail", &format!("{error:#}"), "")],
    }
}

fn objects(value: Option<&Value>) -> Vec<Row> {
    let list = value.and_then(Value::as_array).cloned().unwrap_or_default();
    list.into_iter().filter_map(|value| value.as_object().cloned()).collect()
}

fn row(who: &str, area: &str, state: &str, found: &str, advice: &str) -> Row {
    [("who", who), ("area", area), ("state", state), ("found", found), ("advice", advice)]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), Value::from(value)))
        .collect::<Map<_, _>>()
}

/// This machine's clock against the aggregator's.
fn clock(theirs: &str) -> Option<Row> {
    let theirs: jiff::Timestamp = theirs.parse().ok()?;
    let ahead_s = jiff::Timestamp::now().duration_since(theirs).as_secs_f64();
    let found = format!("this machine's is {:.1} s {} the aggregator's", ahead_s.abs(), side(ahead_s));
    Some(match ahead_s.abs() > SKEW_S {
        true => row("wake", "clock", "warn", &found, "set the clocks right (chrony, ntpd)"),
        false => row("wake", "clock", "ok", &found, ""),
    })
}

fn side(ahead_s: f64) -> &'static str {
    if ahead_s >= 0.0 { "ahead of" } else { "behind" }
}

fn show(rows: &[Row], all: bool, out: &Out) -> Result<()> {
    let head = [("WHO", Align::Left), ("WHAT", Align::Left), ("STATE", Align::Left), ("FOUND", Align::Left)];
    let shown: Vec<Vec<Cell>> = rows
        .iter()
        .filter(|row| all || text(row, "state") != "ok")
        .map(|row| {
            let state = text(row, "state");
            let tone = match state {
                "ok" => Tone::Good,
                "fail" => Tone::Bad,
                _ => Tone::Warn,
            };
            let advice = text(row, "advice");
            let found = match advice {
                "" => text(row, "found").to_owned(),
                advice => format!("{}; to do: {advice}", text(row, "found")),
            };
            vec![cell(text(row, "who")), cell(text(row, "area")), toned(state, tone), cell(found)]
        })
        .collect();
    for line in render(out, &head, &shown) {
        out.line(&line)?;
    }
    let well = rows.iter().filter(|row| text(row, "state") == "ok").count();
    let hint = if all || well == 0 { "" } else { " (--all shows them)" };
    Ok(out.line(&format!("{well} of {} checks are well{hint}", rows.len()))?)
}
