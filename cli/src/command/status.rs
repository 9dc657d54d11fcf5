//! `wake status`: whether Wake works.

use anyhow::Result;
use serde_json::Value;

use crate::client::{Client, Row};
use crate::out::{Out, Tone};
use crate::show::table::{Align, Cell, bad_if_any, cell, render, toned, value};
use crate::show::{number, text, units};

pub(super) async fn run(client: &Client, out: &Out) -> Result<()> {
    let status = client.object("status").await?;
    if out.is_json() {
        return Ok(out.line(&serde_json::to_string(&status)?)?);
    }
    let started = units::time(text(&status, "started"));
    out.line(&format!("wake-aggregator {}, running since {started} UTC", text(&status, "version")))?;
    if let Some(Value::Object(store)) = status.get("store") {
        out.line(&format!("store: {}", facts(store)))?;
    }
    let agents = objects(&status, "agents");
    if agents.is_empty() {
        out.line("no agent has connected yet")?;
    }
    for agent in &agents {
        out.line("")?;
        show_agent(agent, out)?;
    }
    show_losses(&objects(&status, "losses"), out)
}

fn objects(row: &Row, key: &str) -> Vec<Row> {
    let list = row.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    list.into_iter().filter_map(|value| value.as_object().cloned()).collect()
}

/// The store's own figures in its own words: `rows 1200, segments 3, wal 1.0 MiB`.
fn facts(store: &Row) -> String {
    let fact = |(name, figure): (&String, &Value)| {
        let number = figure.as_f64()?;
        let (name, shown) = match name.strip_suffix("_bytes") {
            Some(name) => (name, units::bytes(number)),
            None if name == "bytes" => ("size", units::bytes(number)),
            None => (name.as_str(), units::count(number)),
        };
        Some(format!("{} {shown}", name.replace('_', " ")))
    };
    store.iter().filter_map(fact).collect::<Vec<_>>().join(", ")
}

fn show_agent(agent: &Row, out: &Out) -> Result<()> {
    let connected = agent.get("connected").and_then(Value::as_bool) == Some(true);
    let state = if connected { out.paint(Tone::Good, "connected") } else { out.paint(Tone::Bad, "away") };
    let mut line = format!("agent {} ({}): {state}", text(agent, "node"), text(agent, "version"));
    if let Some(lag) = number(agent, "lag_s") {
        line.push_str(&format!(", {} behind", units::seconds(lag)));
    }
    if let Some(spool) = number(agent, "spool_bytes").filter(|bytes| *bytes > 0.0) {
        line.push_str(&format!(", {} waiting on its disk", units::bytes(spool)));
    }
    out.line(&line)?;
    let rows: Vec<Vec<Cell>> = objects(agent, "probes").iter().map(probe).collect();
    for line in render(out, &[("PROBE", Align::Left), ("STATE", Align::Left), ("WHY", Align::Left)], &rows) {
        out.line(&line)?;
    }
    Ok(())
}

fn probe(probe: &Row) -> Vec<Cell> {
    let state = text(probe, "state");
    let tone = match state {
        "running" => Tone::Good,
        "failed" => Tone::Bad,
        _ => Tone::Warn,
    };
    let missing: Vec<&str> = match probe.get("missing") {
        Some(Value::Array(missing)) => missing.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let mut why = text(probe, "reason").to_owned();
    if !missing.is_empty() {
        let lacks = format!("lacks {}", missing.join("; "));
        why = if why.is_empty() { lacks } else { format!("{why}; {lacks}") };
    }
    vec![cell(text(probe, "probe")), toned(state, tone), cell(why)]
}

fn show_losses(losses: &[Row], out: &Out) -> Result<()> {
    out.line("")?;
    if losses.is_empty() {
        return Ok(out.line("nothing was lost")?);
    }
    out.line("lost:")?;
    let head =
        [("SIGNAL", Align::Left), ("WHERE", Align::Left), ("WHY", Align::Left), ("COUNT", Align::Right)];
    let rows: Vec<Vec<Cell>> = losses
        .iter()
        .map(|loss| {
            let count = number(loss, "count");
            let shown = if count == Some(0.0) { value(count, units::count) } else { bad_if_any(count) };
            vec![cell(text(loss, "signal")), cell(text(loss, "stage")), cell(text(loss, "reason")), shown]
        })
        .collect();
    for line in render(out, &head, &rows) {
        out.line(&line)?;
    }
    Ok(())
}
