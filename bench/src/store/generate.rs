//! A seeded generator of one node's logs, flows and usage: twelve workloads, five shapes of line, skewed rates; per
//! batch of lines a window of flows and usage for each of 72 pods.
//!
//! The same seed gives the same rows; times end at the start of the run. Needles are planted at known places.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use proto::v1;

use super::pack::Packer;
use super::truth::{Truth, WordCount};

const SPAN_NS: i64 = 6 * 3600 * 1_000_000_000;
const LINES_PER_BATCH: u64 = 4000;
const WORKLOADS: [&str; 12] = [
    "checkout",
    "cart",
    "catalog",
    "edge",
    "ledger",
    "orders-db",
    "search",
    "auth",
    "queue",
    "mailer",
    "etl",
    "scraper",
];
const MESSAGES: [&str; 8] = [
    "request served",
    "cache miss",
    "connection reused",
    "slow query",
    "retrying upstream call",
    "token refreshed",
    "batch flushed",
    "upstream timeout",
];

/// splitmix64 (Steele, Lea, Flood 2014): enough for test data, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Small values are frequent.
    fn skewed(&mut self, limit: u64) -> u64 {
        let (a, b) = (self.below(limit), self.below(limit));
        a.min(b).min(self.below(limit))
    }
}

pub(crate) fn pack_generated(lines: u64, seed: u64, out: &Path) -> Result<Truth> {
    let mut packer = Packer::create(out)?;
    let truth = each_payload(lines, seed, |payload| packer.add("node-1", payload))?;
    packer.finish()?;
    Ok(truth)
}

/// Bodies of the lines, with their workload and time.
pub(crate) fn each_line(lines: u64, seed: u64, mut each: impl FnMut(&str, i64, &[u8])) -> Result<Truth> {
    each_payload(lines, seed, |payload| {
        for row in &payload.logs {
            let workload = payload.identities.get(row.identity as usize).map_or("", |one| &one.workload);
            each(workload, i64::try_from(row.ts)?, &row.body);
        }
        Ok(())
    })
}

fn each_payload(lines: u64, seed: u64, mut each: impl FnMut(&v1::Payload) -> Result<()>) -> Result<Truth> {
    let mut random = Random(seed);
    let end_ns = i64::try_from(jiff::Timestamp::now().as_nanosecond())?;
    let start_ns = (end_ns - SPAN_NS) / 60_000_000_000 * 60_000_000_000;
    let mut truth = Truth { lines, start_ns, end_ns, ..Default::default() };
    let identities: Vec<_> =
        WORKLOADS.iter().flat_map(|name| (0..6).map(move |pod| identity(name, pod))).collect();
    let (mut trace, mut left) = (String::new(), 0_u64);
    let mut line = 0;
    while line < lines {
        let mut payload = v1::Payload { identities: identities.clone(), ..Default::default() };
        let last = (line + LINES_PER_BATCH).min(lines);
        while line < last {
            if left == 0 {
                trace = format!("{:016x}{:016x}", random.next(), random.next());
                left = 1 + random.below(7);
                if line % (lines / 8 + 1) < 4 {
                    truth.traces.push(WordCount { word: trace.clone(), count: 0 });
                }
            }
            left -= 1;
            let ts = start_ns + i64::try_from(u128::from(line) * SPAN_NS as u128 / u128::from(lines))?;
            payload.logs.push(row(&mut random, &mut truth, &trace, line, lines, ts));
            line += 1;
        }
        side_rows(&mut random, &mut truth, &mut payload, start_ns, line, lines)?;
        each(&payload)?;
    }
    Ok(truth)
}

fn row(random: &mut Random, truth: &mut Truth, trace: &str, line: u64, lines: u64, ts: i64) -> v1::LogRow {
    let workload = random.skewed(WORKLOADS.len() as u64);
    let level = match random.below(100) {
        0..2 => "error",
        2..8 => "warn",
        8..20 => "debug",
        _ => "info",
    };
    let message = MESSAGES[random.skewed(MESSAGES.len() as u64) as usize];
    let mut body = shape(random, workload, level, message, trace);
    if body.contains(trace)
        && let Some(known) = truth.traces.last_mut().filter(|known| known.word == trace)
    {
        known.count += 1;
    }
    // a rare word at a few known places
    if line.is_multiple_of(lines / 10 + 1) {
        body.push_str(" quixotic-marker");
        match truth.rare.first_mut() {
            Some(rare) => rare.count += 1,
            None => truth.rare.push(WordCount { word: "quixotic".to_owned(), count: 1 }),
        }
    }
    let minute = ((ts - truth.start_ns) / 60_000_000_000) as usize;
    count(&mut truth.level_per_minute, level, minute);
    if body.contains("timeout") {
        count(truth.word_level_per_minute.entry("timeout".to_owned()).or_default(), level, minute);
    }
    truth.text_bytes += body.len() as u64;
    v1::LogRow {
        identity: (workload * 6 + random.below(6)) as u32,
        ts: ts as u64,
        observed_ts: ts as u64,
        body: body.into_bytes().into(),
        level: level.to_owned(),
        source: "/var/log/app.log".to_owned(),
        ..Default::default()
    }
}

/// One of five shapes: JSON, access log, logfmt, klog, plain.
fn shape(random: &mut Random, workload: u64, level: &str, message: &str, trace: &str) -> String {
    let (user, took, code) = (random.skewed(50_000), random.skewed(4_000), 200 + 100 * random.skewed(4));
    let mut body = String::with_capacity(200);
    let wrote = match workload % 5 {
        0 => write!(
            body,
            r#"{{"level":"{level}","msg":"{message}","user":"u{user}","latency_ms":{took},"status":{code},"trace_id":"{trace}"}}"#
        ),
        1 => write!(
            body,
            r#"10.0.{}.{} - - "GET /api/v1/items/{user}?page={} HTTP/1.1" {code} {} "-" "Mozilla/5.0" {took}ms"#,
            random.below(16),
            random.below(250),
            random.below(9),
            random.below(20_000)
        ),
        2 => write!(body, "level={level} msg=\"{message}\" user={user} duration={took}ms trace={trace}"),
        3 => write!(
            body,
            "I1121 12:{:02}:01.{:06} 1 handler.go:{}] {message} took={took}ms",
            took % 60,
            user,
            user % 900
        ),
        _ => write!(
            body,
            "{message}: worker-{} finished job {:08x} in {took} ms",
            random.below(32),
            random.next() as u32
        ),
    };
    debug_assert!(wrote.is_ok(), "writing to a string");
    body
}

fn side_rows(
    random: &mut Random,
    truth: &mut Truth,
    payload: &mut v1::Payload,
    start: i64,
    line: u64,
    lines: u64,
) -> Result<()> {
    let at = start + i64::try_from(u128::from(line) * SPAN_NS as u128 / u128::from(lines))?;
    let ts = (at / 10_000_000_000 * 10_000_000_000) as u64;
    for identity in 0..72_u32 {
        payload.usage.push(v1::UsageRow {
            identity,
            ts,
            window_s: 10,
            cpu_usage_ns: Some(random.skewed(10_000_000_000)),
            cpu_user_ns: Some(random.skewed(6_000_000_000)),
            cpu_system_ns: Some(random.skewed(4_000_000_000)),
            memory_current: Some((u64::from(identity) * 4_000 + random.below(4_000)) * 4_096),
            memory_working_set: Some((u64::from(identity) * 3_000 + random.below(3_000)) * 4_096),
            memory_limit: Some(1 << 30),
            pids_current: Some(20 + random.skewed(20)),
            io_write_bytes: Some(random.skewed(2_000) * 4_096),
            io_write_ops: Some(random.skewed(500)),
            psi_cpu_some_us: Some(random.skewed(100_000)),
            psi_memory_some_us: Some(0),
            switches_voluntary: Some(random.skewed(20_000)),
            switches_involuntary: Some(random.skewed(2_000)),
            run_queue_hist: histogram(random, 12, 2_000),
            ..Default::default()
        });
        payload.flows.push(v1::FlowRow {
            identity,
            ts,
            window_s: 10,
            role: "client".to_owned(),
            protocol: "tcp".to_owned(),
            peer_address: format!("10.1.{}.{}", random.below(4), random.below(250)),
            server_port: 8080,
            bytes_sent: random.skewed(10_000_000),
            bytes_received: random.skewed(10_000_000),
            packets_sent: random.skewed(10_000),
            packets_received: random.skewed(10_000),
            connects: random.skewed(100),
            closes: random.skewed(100),
            srtt_us: Some(random.skewed(20_000)),
            rtt_hist: histogram(random, 30, 200),
            ..Default::default()
        });
    }
    truth.flow_rows += 72;
    truth.usage_rows += 72;
    Ok(())
}

/// A latency histogram with some ten buckets filled.
fn histogram(random: &mut Random, from: usize, most: u64) -> Vec<u32> {
    let mut counts = vec![0; proto::histogram::BUCKETS];
    for count in counts.iter_mut().skip(from).take(10) {
        *count = random.skewed(most) as u32;
    }
    counts
}

fn count(levels: &mut BTreeMap<String, Vec<u64>>, level: &str, minute: usize) {
    let minutes = levels.entry(level.to_owned()).or_default();
    if minutes.len() <= minute {
        minutes.resize(minute + 1, 0);
    }
    minutes[minute] += 1;
}

fn identity(workload: &str, pod: u32) -> v1::Identity {
    v1::Identity {
        node: "node-1".to_owned(),
        namespace: "shop".to_owned(),
        workload: workload.to_owned(),
        workload_kind: "container".to_owned(),
        pod: format!("{workload}-{pod}"),
        ..Default::default()
    }
}
