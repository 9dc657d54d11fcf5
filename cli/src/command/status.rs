//! `wake status`: whether Wake works.

use anyhow::Result;
use serde_json::Value;

use crate::client::{Client, Row};
use crate::out::{Out, Tone};
use crate::show::table::{Align, Cell, bad_if_any, cell, clean, render, toned, value};
use crate::show::{number, text, units};

pub(super) async fn run(client: &Client, out: &Out) -> Result<()> {
    let status = client.object("status").await?;
    if out.is_json() {
        return Ok(out.line(&serde_json::to_string(&status)?)?);
    }
    let started = units::time(text(&status, "started"));
    out.line(&format!("wake-aggregator {}, running since {started} UTC", text(&status, "version")))?;
    if let Some(Value::Object(store)) = status.get("store") {
        show_store(store, out)?;
    }
    if let Some(Value::Object(kubernetes)) = status.get("kubernetes") {
        show_kubernetes(kubernetes, out)?;
    }
    for export in objects(&status, "export") {
        show_export(&export, out)?;
    }
    if !status.contains_key("agents") {
        return Ok(out.line("it answers; how its store and agents stand is for operators to see")?);
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

/// What is kept, and what stands in its way.
fn show_store(store: &Row, out: &Out) -> Result<()> {
    let tables = objects(store, "tables");
    let sum = |column: &str| tables.iter().filter_map(|table| number(table, column)).sum::<f64>();
    out.line(&format!(
        "store: {} rows in {} segments ({}), {} rows not sealed yet ({} of memory, {} of write-ahead log)",
        units::count(sum("segment_rows")),
        units::count(sum("segments")),
        units::bytes(sum("segment_bytes")),
        units::count(sum("head_rows")),
        units::bytes(number(store, "head_bytes").unwrap_or_default()),
        units::bytes(number(store, "wal_bytes").unwrap_or_default()),
    ))?;
    if let Some(Value::String(why)) = store.get("stopped") {
        out.line(&out.paint(Tone::Bad, &format!("the store takes nothing any more: {}", clean(why))))?;
    }
    if store.get("disk_full") == Some(&Value::Bool(true)) {
        out.line(&out.paint(Tone::Bad, "the disk is full: batches are refused, agents keep them"))?;
    }
    if let Some(lost) = number(store, "lost_records").filter(|lost| *lost > 0.0) {
        let text =
            format!("{} damaged records of the write-ahead log were set aside at start", units::count(lost));
        out.line(&out.paint(Tone::Bad, &text))?;
    }
    Ok(())
}

/// The watched cluster, and which of its watches do not work.
fn show_kubernetes(kubernetes: &Row, out: &Out) -> Result<()> {
    let watches = objects(kubernetes, "watches");
    let synced = watches.iter().filter(|watch| watch.get("synced") == Some(&Value::Bool(true))).count();
    let of = |kind: &str| {
        let watch = watches.iter().find(|watch| text(watch, "kind") == kind);
        units::count(watch.and_then(|watch| number(watch, "objects")).unwrap_or_default())
    };
    out.line(&format!(
        "kubernetes {}: {} pods on {} nodes, {} services; {synced} of {} watches are complete",
        clean(text(kubernetes, "cluster")),
        of("pod"),
        of("node"),
        of("service"),
        watches.len(),
    ))?;
    for watch in watches.iter().filter(|watch| !text(watch, "error").is_empty()) {
        let line = format!("watch of {}: {}", text(watch, "kind"), clean(text(watch, "error")));
        out.line(&out.paint(Tone::Warn, &line))?;
    }
    Ok(())
}

/// What is sent on, and what keeps it from being sent.
fn show_export(export: &Row, out: &Out) -> Result<()> {
    let signal = clean(text(export, "signal"));
    if let Some(Value::String(problem)) = export.get("problem") {
        let behind = units::seconds(number(export, "behind_s").unwrap_or_default());
        let line = format!("export of {signal}, behind for {behind}: {}", clean(problem));
        out.line(&out.paint(Tone::Bad, &line))?;
    } else {
        out.line(&format!("export of {signal}: the endpoint takes it"))?;
    }
    if let Some(lost) = number(export, "lost_records").filter(|lost| *lost > 0.0) {
        let line = format!("export of {signal}: {} records are lost to the endpoint", units::count(lost));
        out.line(&out.paint(Tone::Bad, &line))?;
    }
    Ok(())
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
