//! `wake sql`: a query, and its answer as it comes.

use std::io::Read as _;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use super::remark_incomplete;
use crate::args::Sql;
use crate::client::{Answer, Client};
use crate::out::{Out, Tone};
use crate::show::table::{Align, Cell, cell, render, toned};

pub(super) async fn run(args: &Sql, client: &Client, out: &Out) -> Result<()> {
    let query = match args.query.as_str() {
        "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("read the query from standard input")?;
            text
        }
        given => given.to_owned(),
    };
    let mut body = json!({ "query": query });
    if let Some(max_rows) = args.max_rows {
        body["max_rows"] = json!(max_rows);
    }
    let answer = client.post("sql", &body, &query).await?;
    let list = |key: &str| answer.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let (columns, rows) = (list("columns"), list("rows"));
    let names: Vec<&str> =
        columns.iter().map(|column| column.get("name").and_then(Value::as_str).unwrap_or_default()).collect();
    if out.is_json() {
        for row in &rows {
            let object: Map<String, Value> = names
                .iter()
                .map(|name| (*name).to_owned())
                .zip(row.as_array().cloned().unwrap_or_default())
                .collect();
            out.line(&serde_json::to_string(&object)?)?;
        }
    } else {
        table(out, &names, &rows)?;
    }
    let reasons = list("reasons").into_iter().filter_map(|reason| reason.as_object().cloned()).collect();
    let complete = answer.get("complete").and_then(Value::as_bool).unwrap_or(true);
    remark_incomplete(out, &Answer { rows: Vec::new(), complete, reasons });
    Ok(())
}

fn table(out: &Out, names: &[&str], rows: &[Value]) -> Result<()> {
    let rows: Vec<&Vec<Value>> = rows.iter().filter_map(Value::as_array).collect();
    let align = |column: usize| {
        let numbers =
            rows.iter().filter_map(|row| row.get(column)).all(|value| value.is_number() || value.is_null());
        if numbers && !rows.is_empty() { Align::Right } else { Align::Left }
    };
    let head: Vec<(&str, Align)> =
        names.iter().enumerate().map(|(index, name)| (*name, align(index))).collect();
    let cells: Vec<Vec<Cell>> = rows.iter().map(|row| row.iter().map(shown).collect()).collect();
    for line in render(out, &head, &cells) {
        out.line(&line)?;
    }
    let noun = if rows.len() == 1 { "row" } else { "rows" };
    if out.terminal {
        out.remark(&format!("({} {noun})", rows.len()));
    }
    Ok(())
}

fn shown(value: &Value) -> Cell {
    match value {
        Value::Null => toned("-", Tone::Dim),
        Value::String(text) => cell(text.replace('\n', "⏎")),
        other => cell(other.to_string()),
    }
}
