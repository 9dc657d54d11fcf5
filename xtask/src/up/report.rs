//! What `up` shows once Wake runs: the probes, the addresses, what to try.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Layout, typed};
use crate::{clock, out, run};

/// How long the aggregator may take to hear of the agent's probes.
const HEARD: Duration = Duration::from_secs(3);

pub(super) fn running(bin: &Path, layout: &Layout, with_agent: bool, took: Duration) {
    if with_agent {
        probes(bin, layout);
    }
    let wake = typed(&bin.join("wake"));
    let server =
        if layout.api.port() == 9401 { String::new() } else { format!(" --server {}", layout.server()) };
    out::step(&format!("Wake runs (started in {:.1} s)", took.as_secs_f64()));
    out::note(&format!("aggregator  {}  REST and SQL under /api/v1, /metrics", layout.server()));
    out::note(&format!("ingest      http://{}  gRPC, for agents", layout.ingest));
    if with_agent {
        out::note(&format!("agent       http://{}  /probes, /metrics", layout.admin));
    }
    out::note(&format!("data, config and logs  {}", layout.state.display()));
    out::note("");
    out::note("Try, in another terminal:");
    out::note(&format!(
        "  {wake}{server} top                     # CPU, memory, I/O and network of every workload"
    ));
    out::note(&format!("  {wake}{server} flows                   # who talks to whom"));
    out::note(&format!("  {wake}{server} logs error --since 10m  # what the logs say"));
    out::note("");
    out::note("Ctrl-C ends it.");
}

/// The state of each probe, as the aggregator knows it.
fn probes(bin: &Path, layout: &Layout) {
    let status = |json: bool| {
        let mut wake = Command::new(bin.join("wake"));
        wake.args(["--server", &layout.server(), "status"]);
        if json {
            wake.args(["-o", "json"]);
        }
        run::read(&mut wake)
    };
    let began = clock::now();
    while began.elapsed() < HEARD && !status(true).is_ok_and(|text| text.contains("\"probe\"")) {
        clock::pause(Duration::from_millis(50));
    }
    match status(false) {
        Ok(text) => text.lines().for_each(out::note),
        Err(error) => out::note(&format!("{error:#}")),
    }
}

pub(super) fn without_agent(bin: &Path, layout: &Layout, how: &str) {
    out::step("wake-agent was not started: loading eBPF programs and reading other people's logs needs root");
    out::note(&format!("{how}:"));
    let environment: Vec<String> =
        layout.agent.environment.iter().map(|(key, value)| format!("{key}={value}")).collect();
    out::note(&format!(
        "  env {} {} --config {}",
        environment.join(" "),
        bin.join("wake-agent").display(),
        layout.agent.config.display()
    ));
}
