//! Questions to the server, one cold and several warm, every answer compared with the truth.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::ingest::quantile;
use super::server::Server;
use super::truth::{Truth, WordCount};
use crate::process::Threads;
use crate::report::Report;

pub(crate) async fn run(server: &Server, truth: &Truth, report: &mut Report) -> Result<()> {
    words(server, "trace id", &truth.traces, report).await?;
    whole_words(server, "trace id as a word", &truth.traces, report).await?;
    whole_words(server, "rare word as a word", &truth.rare, report).await?;
    words(server, "rare word by LIKE", &truth.rare, report).await?;
    words(server, "part of a word", &truth.infix, report).await?;
    if !truth.regex.is_empty() {
        let sql = format!(
            "SELECT count(*) FROM log WHERE regexp_like(body, '{}')",
            truth.regex.replace('\'', "''")
        );
        let expected = truth.regex_hits;
        let mut asked = Asked::default();
        for _ in 0..5 {
            let rows = asked.sql(server, &sql).await?;
            asked.check(rows.pointer("/0/0").and_then(Value::as_u64) == Some(expected));
        }
        asked.report("regex count", report);
    }
    histogram(server, "histogram by level per minute", &[], &truth.level_per_minute, truth, report).await?;
    if let Some((word, levels)) = truth.word_level_per_minute.first_key_value() {
        histogram(server, "the same with a word", &[("contains", word)], levels, truth, report).await?;
    }
    top_pods(server, truth, report).await
}

/// Finds each needle by SQL and compares the number of lines.
async fn words(server: &Server, name: &str, needles: &[WordCount], report: &mut Report) -> Result<()> {
    let mut asked = Asked::default();
    for needle in needles.iter().chain(needles).take(needles.len().max(5)) {
        let sql = format!("SELECT ts, pod, body FROM log WHERE body LIKE '%{}%' LIMIT 5000", needle.word);
        let rows = asked.sql(server, &sql).await?;
        asked.check(rows.as_array().map(Vec::len) == Some(usize::try_from(needle.count)?));
    }
    asked.report(name, report);
    Ok(())
}

/// Finds each needle as a whole word over REST and compares the number of lines.
async fn whole_words(server: &Server, name: &str, needles: &[WordCount], report: &mut Report) -> Result<()> {
    let mut asked = Asked::default();
    for needle in needles.iter().chain(needles).take(needles.len().max(5)) {
        let query = [("word", needle.word.as_str()), ("limit", "5000")];
        let answer = asked.get(server, "/api/v1/logs", &query).await?;
        let rows = answer.get("rows").and_then(Value::as_array).context("rows")?;
        asked.check(rows.len() == usize::try_from(needle.count)?);
    }
    asked.report(name, report);
    Ok(())
}

/// Lines per minute and level, bucket by bucket.
async fn histogram(
    server: &Server,
    name: &str,
    filter: &[(&str, &str)],
    expected: &BTreeMap<String, Vec<u64>>,
    truth: &Truth,
    report: &mut Report,
) -> Result<()> {
    let (from, to) = (truth.start_ns.to_string(), truth.end_ns.to_string());
    let mut query = vec![("by", "level"), ("step", "60s"), ("from", from.as_str()), ("to", to.as_str())];
    query.extend_from_slice(filter);
    let of_level = |(level, minutes): (&String, &Vec<u64>)| {
        let level = level.clone();
        let counts = (0_i64..).zip(minutes.clone()).filter(|(_, count)| *count > 0);
        counts.map(|(minute, count)| ((level.clone(), minute), count)).collect::<Vec<_>>()
    };
    let known: BTreeMap<(String, i64), u64> = expected.iter().flat_map(of_level).collect();
    let mut asked = Asked::default();
    for _ in 0..6 {
        let answer = asked.get(server, "/api/v1/logs/histogram", &query).await?;
        let rows = answer.get("rows").and_then(Value::as_array).context("rows")?;
        let mut found: BTreeMap<(String, i64), u64> = BTreeMap::new();
        for row in rows {
            let level = row.get("level").and_then(Value::as_str).unwrap_or_default();
            let ts: jiff::Timestamp = row.get("ts").and_then(Value::as_str).context("ts")?.parse()?;
            let minute = (ts.as_second() - truth.start_ns / 1_000_000_000) / 60;
            *found.entry((level.to_owned(), minute)).or_default() +=
                row.get("count").and_then(Value::as_u64).unwrap_or(0);
        }
        asked.check(found == known);
    }
    asked.report(name, report);
    Ok(())
}

async fn top_pods(server: &Server, truth: &Truth, report: &mut Report) -> Result<()> {
    let Some(first) = truth.top_error_pods.first() else { return Ok(()) };
    let sql = format!(
        "SELECT pod, count(*) AS n FROM log WHERE namespace = '{}' AND level = 'error' GROUP BY pod ORDER BY n DESC LIMIT 10",
        truth.top_pods_ns
    );
    let mut asked = Asked::default();
    for _ in 0..6 {
        let rows = asked.sql(server, &sql).await?;
        asked.check(rows.pointer("/0/1").and_then(Value::as_u64) == Some(first.count));
    }
    asked.report("top 10 pods by errors", report);
    Ok(())
}

/// Times and verdicts of one kind of question.
#[derive(Debug, Default)]
struct Asked {
    wall_ms: Vec<f64>,
    cpu_ms: Vec<f64>,
    right: u64,
}

impl Asked {
    async fn sql(&mut self, server: &Server, sql: &str) -> Result<Value> {
        let (cpu, wall) = (server.process.threads()?, Instant::now());
        let answer = server.post("/api/v1/sql", &json!({ "query": sql, "max_rows": 5000 })).await?;
        self.record(server, &cpu, wall)?;
        answer.get("rows").cloned().context("rows")
    }

    async fn get(&mut self, server: &Server, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        let (cpu, wall) = (server.process.threads()?, Instant::now());
        let answer = server.get(path, query).await?;
        self.record(server, &cpu, wall)?;
        Ok(answer)
    }

    fn record(&mut self, server: &Server, before: &Threads, wall: Instant) -> Result<()> {
        self.wall_ms.push(wall.elapsed().as_secs_f64() * 1e3);
        self.cpu_ms.push(server.process.threads()?.since(before).as_secs_f64() * 1e3);
        Ok(())
    }

    fn check(&mut self, right: bool) {
        self.right += u64::from(right);
    }

    fn report(&self, name: &str, report: &mut Report) {
        let (Some(cold), count) = (self.wall_ms.first(), self.wall_ms.len()) else { return };
        report.figure(&format!("{name}: cold wall ms"), *cold);
        report.figure(&format!("{name}: p50 wall ms"), quantile(&self.wall_ms, 0.5));
        report.figure(&format!("{name}: p50 CPU ms"), quantile(&self.cpu_ms, 0.5));
        report.figure(&format!("{name}: right answers of {count}"), self.right);
    }
}
