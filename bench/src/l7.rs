//! Requests under load: what reading them costs the servers and clients that make them, and how many come out as spans.
//!
//! Real servers (nginx over plain HTTP and over TLS, PostgreSQL) and a client of our own, each in a cgroup, run beside nothing,
//! beside empty programs at the hooks of the agent's programs, and beside a wake-agent that reads requests and TLS and
//! sends its spans to a sink in this process. The three take turns in each round, so that a machine that gets busy spoils all
//! alike; figures are medians over the rounds. A server that is not installed is left out, and said so.

mod cgroup;
mod client;
mod drive;
mod servers;
mod sink;
mod wake;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};

use crate::agent::empty::Empty;
use crate::report::Report;
use cgroup::Group;
use client::{Client, Step, Took};
use servers::Server;
use wake::Wake;

#[derive(Args, Debug)]
pub(crate) struct L7Args {
    /// Servers to measure.
    #[arg(long, value_delimiter = ',', default_values = ["nginx", "nginx-tls", "postgres"])]
    servers: Vec<Kind>,
    /// Rounds, each with nothing, with empty programs, and with the agent.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each step.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Connections, one request at a time on each.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Requests per second at which spans are counted, beside saturation.
    #[arg(long, value_delimiter = ',', default_values = ["1000", "5000", "20000"])]
    rates: Vec<u32>,
    /// Write the figures and the machine's facts to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Only make requests, as standard input says, until it ends.
    #[arg(long, hide = true)]
    drive: Option<String>,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// nginx over plain HTTP/1.1, answers of 1 KiB.
    Nginx,
    /// The same over TLS 1.3 (OpenSSL); the client's own library is not one that Wake reads.
    NginxTls,
    /// PostgreSQL, a simple query by primary key.
    Postgres,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::NginxTls => "nginx-tls",
            Self::Postgres => "postgres",
        }
    }
}

pub(crate) async fn run(args: L7Args) -> Result<()> {
    if let Some(target) = &args.drive {
        return drive::run(target);
    }
    let mut report = Report::default();
    for kind in &args.servers {
        let group = Group::make(&format!("server-{}", kind.name()))?;
        match Server::start(*kind, &group) {
            Ok(server) => measure(&args, *kind, &server, &group, &mut report).await?,
            Err(error) => println!("  {} is left out: {error:#}", kind.name()),
        }
    }
    report.write(args.json.as_deref())
}

/// What runs beside the work.
const BESIDE: [&str; 3] = ["alone", "empty programs", "wake"];

/// Medians of a figure, in the order of `BESIDE`.
type Three = [f64; 3];

async fn measure(
    args: &L7Args,
    kind: Kind,
    server: &Server,
    group: &Group,
    report: &mut Report,
) -> Result<()> {
    let name = kind.name();
    let clients = Group::make(&format!("client-{name}"))?;
    let client = Client::start(kind, server, args.connections, &clients)?;
    let seconds = Duration::from_secs(args.seconds);
    let step = |rate: f64| Step { rate, seconds };
    client.run(step(0.0), &[group, &clients])?;
    let half = client.run(step(0.0), &[group, &clients])?.rate / 2.0;
    report.figure(&format!("{name}: requests/s of the half load"), half);
    let (mut full, mut halves) = ([const { Vec::new() }; 3], [const { Vec::new() }; 3]);
    for _ in 0..args.rounds {
        for beside in 0..BESIDE.len() {
            let empty = if beside == 1 { Some(Empty::attach()?) } else { None };
            let wake = if beside == 2 { Some(Wake::start().await?) } else { None };
            full[beside].push(client.run(step(0.0), &[group, &clients])?);
            halves[beside].push(client.run(step(half), &[group, &clients])?);
            drop(empty);
            if let Some(wake) = wake {
                wake.stop().await?;
            }
        }
    }
    for (what, tooks) in [("saturated", &full), ("at half", &halves)] {
        figures(&format!("{name} {what}"), tooks, report);
    }
    spans(args, kind, &client, [group, &clients], report).await
}

/// What a round of each costs, and what the agent adds to empty programs and to nothing.
fn figures(what: &str, tooks: &[Vec<Took>; 3], report: &mut Report) {
    let three = |figure: fn(&Took) -> f64| -> Three {
        [0, 1, 2].map(|beside| median(tooks[beside].iter().map(figure).collect()))
    };
    for (unit, figure) in [
        ("requests/s", (|took| took.rate) as fn(&Took) -> f64),
        ("p50 us", |took| took.p50_us),
        ("p99 us", |took| took.p99_us),
        ("CPU us per request, server and client", |took| took.cpu_us),
    ] {
        let [alone, empty, wake] = three(figure);
        for (beside, value) in BESIDE.iter().zip([alone, empty, wake]) {
            report.figure(&format!("{what}, {beside}: {unit}"), value);
        }
        report.figure(&format!("{what}: {unit}, wake over empty %"), 100.0 * (wake / empty - 1.0));
        report.figure(&format!("{what}: {unit}, wake over alone %"), 100.0 * (wake / alone - 1.0));
    }
}

/// Spans and requests that came out, by what was sent, at each rate and saturated; and what the agent's process took.
async fn spans(
    args: &L7Args,
    kind: Kind,
    client: &Client,
    groups: [&Group; 2],
    report: &mut Report,
) -> Result<()> {
    let name = kind.name();
    let wake = Wake::start().await?;
    // the agent finds TLS libraries within seconds, and connections from their next request on
    client.run(Step { rate: 50.0, seconds: Duration::from_secs(3) }, &groups)?;
    let rates = args.rates.iter().map(|rate| (format!("{rate}/s"), f64::from(*rate)));
    for (load, rate) in rates.chain([("saturated".to_owned(), 0.0)]) {
        wake.settle().await?;
        let before = wake.look(groups[0], groups[1]).await?;
        let took = client.run(Step { rate, seconds: Duration::from_secs(args.seconds) }, &groups)?;
        wake.settle().await?;
        let after = wake.look(groups[0], groups[1]).await?;
        let sent = took.sent as f64;
        let share = |of: fn(&wake::Look) -> f64| (of(&after) - of(&before)) / sent;
        let what = format!("{name} at {load}");
        report.figure(&format!("{what}: requests/s"), took.rate);
        report.figure(&format!("{what}: counted / sent, server"), share(|look| look.counted[0]));
        report.figure(&format!("{what}: spans / sent, server"), share(|look| look.spans[0]));
        // rustls is not read
        if kind != Kind::NginxTls {
            report.figure(&format!("{what}: counted / sent, client"), share(|look| look.counted[1]));
            report.figure(&format!("{what}: spans / sent, client"), share(|look| look.spans[1]));
        }
        report.figure(&format!("{what}: spans in the ledger"), after.lost - before.lost);
        let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
        report.figure(&format!("{what}: agent's own CPU us per request"), 1e6 * cpu / sent);
    }
    report.figure(&format!("{name}: agent's RSS MiB after the load"), wake.rss_mib());
    wake.stop().await
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |place: usize| values.get(place).copied().context("a round").unwrap_or(f64::NAN);
    if values.len() % 2 == 1 { at(middle) } else { (at(middle.wrapping_sub(1)) + at(middle)) / 2.0 }
}
