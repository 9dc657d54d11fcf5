//! `wake logs`: lines that hold all that was asked for, oldest first, and then, with `--follow`, as they arrive.

mod histogram;
mod line;

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{as_filter, remark_incomplete, remark_reason};
use crate::args::Logs;
use crate::client::{Client, Row};
use crate::out::Out;
use line::Line;

const BACK: &str = "1h";
/// Lines of a search, and those that `--follow` begins with, if not told otherwise.
const LINES: u32 = 100;
const FOLLOW_LINES: u32 = 10;

pub(super) async fn run(args: &Logs, client: &Client, out: &Out) -> Result<()> {
    let wanted = wanted(args);
    if let Some(by) = args.histogram {
        return histogram::run(args, by, wanted, client, out).await;
    }
    let line = Line::new(args)?;
    if args.follow {
        return follow(args, wanted, &line, client, out).await;
    }
    let limit = args.limit.unwrap_or(LINES);
    let answer = client.rows("logs", &ranged(args, &wanted, limit)).await?;
    for row in answer.rows.iter().rev() {
        print(row, &line, out)?;
    }
    if answer.rows.is_empty() && !out.is_json() {
        out.remark(&format!("no line {}; --since looks further back", args.scope.words(BACK)));
        if let Some(term) = args.terms.iter().find(|term| as_filter(term).is_some()) {
            out.remark(&format!(
                "{term:?} asks for a column or an attribute; -t {term:?} looks for the text"
            ));
        }
    }
    if answer.rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX) && out.terminal {
        out.remark(&format!("the newest {limit} lines; -n shows more"));
    }
    remark_incomplete(out, &answer);
    Ok(())
}

/// What a line must hold, as parameters.
fn wanted(args: &Logs) -> Vec<(&'static str, String)> {
    let mut params = Vec::new();
    for term in &args.terms {
        let name = if as_filter(term).is_some() { "where" } else { "contains" };
        params.push((name, term.clone()));
    }
    for (name, texts) in [
        ("contains", &args.texts),
        ("word", &args.words),
        ("regex", &args.regexes),
        ("exclude", &args.excludes),
    ] {
        params.extend(texts.iter().map(|text| (name, text.clone())));
    }
    if args.ignore_case {
        params.push(("ignore_case", "true".to_owned()));
    }
    params
}

fn ranged(args: &Logs, wanted: &[(&'static str, String)], limit: u32) -> Vec<(&'static str, String)> {
    let mut params = wanted.to_vec();
    params.extend(args.scope.params(BACK));
    params.push(("limit", limit.to_string()));
    params
}

fn print(row: &Row, line: &Line, out: &Out) -> Result<()> {
    let text = if out.is_json() { serde_json::to_string(row)? } else { line.shown(row, out) };
    Ok(out.line(&text)?)
}

/// The stream is opened before the past is read, so that no line falls between; what both hold is shown once.
async fn follow(
    args: &Logs,
    wanted: Vec<(&'static str, String)>,
    line: &Line,
    client: &Client,
    out: &Out,
) -> Result<()> {
    if args.scope.to.is_some() {
        bail!("--follow has no end; leave --to out");
    }
    let mut stream = client.stream("logs/follow", &wanted).await?;
    let limit = args.limit.unwrap_or(FOLLOW_LINES);
    let past = client.rows("logs", &ranged(args, &wanted, limit)).await?;
    let mut seen: HashMap<String, u32> = HashMap::new();
    for row in past.rows.iter().rev() {
        print(row, line, out)?;
        *seen.entry(serde_json::to_string(row)?).or_default() += 1;
    }
    remark_incomplete(out, &past);
    let mut rest: Vec<u8> = Vec::new();
    while let Some(chunk) = stream.chunk().await.context("the aggregator ended the stream")? {
        rest.extend_from_slice(&chunk);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let bytes: Vec<u8> = rest.drain(..=end).collect();
            if bytes.iter().all(u8::is_ascii_whitespace) {
                continue; // keeps the connection open
            }
            let row: Row = serde_json::from_slice(&bytes).context("read a line of the stream")?;
            if let Some(message) = row.get("error").and_then(|error| error.get("message")) {
                bail!("the aggregator ended the stream: {}", message.as_str().unwrap_or_default());
            }
            if let Some(Value::Object(reason)) = row.get("incomplete") {
                remark_reason(out, reason);
                continue;
            }
            match seen.get_mut(&serde_json::to_string(&row)?) {
                Some(times) if *times > 0 => *times -= 1,
                _ => print(&row, line, out)?,
            }
        }
    }
    bail!("the aggregator ended the stream: it was stopped; follow again once `wake status` answers")
}
