//! `wake top`: what every workload uses, refreshed on a terminal.

use std::time::Duration;

use anyhow::Result;

use super::{filters, remark_incomplete};
use crate::args::{Top, TopSort};
use crate::client::{Answer, Client, Row};
use crate::out::{Out, Tone};
use crate::show::table::{Align, Cell, cell, render, toned, value};
use crate::show::{number, units, workload};

const HEAD: [(&str, Align); 12] = [
    ("WORKLOAD", Align::Left),
    ("CPU", Align::Right),
    ("THROTTLED", Align::Right),
    ("MEMORY", Align::Right),
    ("LIMIT", Align::Right),
    ("READ/S", Align::Right),
    ("WRITE/S", Align::Right),
    ("SENT/S", Align::Right),
    ("RECV/S", Align::Right),
    ("RUN QUEUE P99", Align::Right),
    ("CPU WAIT", Align::Right),
    ("TASKS", Align::Right),
];

const NOTHING: &str = "no usage of late: a window takes 10 s, so wait that long after a start; `wake status` shows whether an agent is connected";

pub(super) async fn run(args: &Top, client: &Client, out: &Out) -> Result<()> {
    let params = filters(&args.filters)?;
    let once = args.once || out.is_json() || !out.terminal;
    if once {
        return show_once(args, &look(args, &params, client).await?, out);
    }
    let live = async {
        loop {
            out.text(&screen(args, &look(args, &params, client).await?, out))?;
            tokio::time::sleep(Duration::from_secs(u64::from(args.interval))).await;
        }
    };
    // heard while a request is under way, too
    tokio::select! {
        ended = live => ended,
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    }
}

async fn look(args: &Top, params: &[(&'static str, String)], client: &Client) -> Result<Answer> {
    let mut answer = client.rows("usage", params).await?;
    sort(&mut answer.rows, args.sort);
    Ok(answer)
}

fn show_once(args: &Top, answer: &Answer, out: &Out) -> Result<()> {
    let limit = args.limit.unwrap_or(usize::MAX);
    let rows: Vec<&Row> = answer.rows.iter().take(limit).collect();
    if out.is_json() {
        for row in rows {
            out.line(&serde_json::to_string(row)?)?;
        }
    } else if rows.is_empty() {
        out.remark(NOTHING);
    } else {
        let cells: Vec<Vec<Cell>> = rows.into_iter().map(cells).collect();
        for line in render(out, &HEAD, &cells) {
            out.line(&line)?;
        }
    }
    remark_incomplete(out, answer);
    Ok(())
}

/// Everything that is on the terminal, from its first cell on.
fn screen(args: &Top, answer: &Answer, out: &Out) -> String {
    let height = out.size().map_or(24, |(_, rows)| rows);
    let limit = args.limit.unwrap_or(height.saturating_sub(4)).max(1);
    let total =
        answer.rows.iter().filter_map(|row| number(row, "cpu_cores")).fold(0.0, |sum, cores| sum + cores);
    let mut text = String::from("\x1b[H\x1b[2J");
    let summary = format!("{} workloads, {total:.2} cores, sorted by {}", answer.rows.len(), by(args.sort));
    text.push_str(&out.paint(Tone::Dim, &summary));
    text.push_str("\n\n");
    if answer.rows.is_empty() {
        text.push_str(NOTHING);
        text.push('\n');
        return text;
    }
    let cells: Vec<Vec<Cell>> = answer.rows.iter().take(limit).map(cells).collect();
    for line in render(out, &HEAD, &cells) {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn by(sort: TopSort) -> &'static str {
    match sort {
        TopSort::Cpu => "CPU",
        TopSort::Memory => "memory",
        TopSort::Io => "I/O",
        TopSort::Net => "network",
        TopSort::Delay => "run-queue delay",
    }
}

fn sort(rows: &mut [Row], sort: TopSort) {
    let columns: &[&str] = match sort {
        TopSort::Cpu => &["cpu_cores"],
        TopSort::Memory => &["memory_working_set"],
        TopSort::Io => &["io_read_bytes_per_s", "io_write_bytes_per_s"],
        TopSort::Net => &["net_sent_bytes_per_s", "net_received_bytes_per_s"],
        TopSort::Delay => &["run_queue_p99_us"],
    };
    let key = |row: &Row| columns.iter().filter_map(|column| number(row, column)).sum::<f64>();
    rows.sort_by(|left, right| key(right).total_cmp(&key(left)));
}

fn cells(row: &Row) -> Vec<Cell> {
    let cores = number(row, "cpu_cores");
    let throttled = number(row, "throttled_ratio");
    vec![
        cell(workload(row)),
        value(cores, |cores| format!("{cores:.3}")),
        match throttled {
            Some(ratio) if ratio > 0.0 => toned(format!("{:.1} %", ratio * 100.0), Tone::Warn),
            other => value(other, |_| "0 %".to_owned()),
        },
        value(number(row, "memory_working_set"), units::bytes),
        value(number(row, "memory_limit"), units::bytes),
        value(number(row, "io_read_bytes_per_s"), units::bytes),
        value(number(row, "io_write_bytes_per_s"), units::bytes),
        value(number(row, "net_sent_bytes_per_s"), units::bytes),
        value(number(row, "net_received_bytes_per_s"), units::bytes),
        value(number(row, "run_queue_p99_us"), units::micros),
        value(number(row, "psi_cpu_some_ratio"), |ratio| format!("{:.1} %", ratio * 100.0)),
        value(number(row, "pids_current"), units::count),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::sort;
    use crate::args::TopSort;
    use crate::client::Row;

    #[test]
    fn absent_sorts_last() {
        let row = |value: serde_json::Value| value.as_object().cloned().unwrap();
        let mut rows: Vec<Row> =
            vec![row(json!({})), row(json!({"cpu_cores": 0.1})), row(json!({"cpu_cores": 2}))];
        sort(&mut rows, TopSort::Cpu);
        let cores: Vec<Option<f64>> = rows.iter().map(|row| crate::show::number(row, "cpu_cores")).collect();
        assert_eq!(cores, [Some(2.0), Some(0.1), None]);
    }
}
