//! The client's process as this one sees it: steps in, figures out.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::Kind;
use super::cgroup::Group;
use super::servers::Server;

/// What to do next.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Step {
    /// Requests per second, at fixed times; 0: as fast as answers come.
    pub rate: f64,
    /// How long.
    pub seconds: Duration,
}

/// What a step gave.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Took {
    pub sent: u64,
    pub rate: f64,
    /// From the time that a request was due.
    pub p50_us: f64,
    pub p99_us: f64,
    /// Of both groups, per request.
    #[serde(default)]
    pub cpu_us: f64,
}

/// Where the client connects, and how.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Target {
    pub kind: String,
    pub address: String,
    pub connections: usize,
    /// What a TLS server shows.
    pub certificate: PathBuf,
}

/// Ended when dropped.
#[derive(Debug)]
pub(crate) struct Client {
    child: Child,
    pipes: RefCell<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Client {
    pub(crate) fn start(kind: Kind, server: &Server, connections: usize, group: &Group) -> Result<Self> {
        let target = Target {
            kind: kind.name().to_owned(),
            address: server.address().to_string(),
            connections,
            certificate: server.certificate(),
        };
        let mut child = Command::new(std::env::current_exe().context("find this program")?)
            .args(["l7", "--drive", &serde_json::to_string(&target)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the client")?;
        let input = child.stdin.take().context("the client's input")?;
        let output = BufReader::new(child.stdout.take().context("the client's output")?);
        let client = Self { child, pipes: RefCell::new((input, output)) };
        group.take(&client.child)?;
        Ok(client)
    }

    /// Runs a step; the groups' CPU time goes into what it took.
    pub(crate) fn run(&self, step: Step, groups: &[&Group]) -> Result<Took> {
        let cpu = || groups.iter().map(|group| group.cpu()).sum::<Result<Duration>>();
        let before = cpu()?;
        let (input, output) = &mut *self.pipes.borrow_mut();
        writeln!(input, "{}", serde_json::to_string(&step)?).context("tell the client")?;
        let mut line = String::new();
        output.read_line(&mut line).context("wait for the client")?;
        let took: Took = serde_json::from_str(&line).context("the client failed")?;
        let cpu = cpu()?.saturating_sub(before);
        Ok(Took { cpu_us: cpu.as_secs_f64() * 1e6 / took.sent.max(1) as f64, ..took })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.child.kill().is_ok() && self.child.wait().is_err() {
            println!("the client could not be waited for");
        }
    }
}
