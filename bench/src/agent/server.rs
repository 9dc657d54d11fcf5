//! A real wake-agent at default settings, alone.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::process::{Measured, sibling};
use crate::report::Report;

#[derive(Debug)]
pub(crate) struct AgentUnderTest {
    pub process: Measured,
    pub start_cpu: Duration,
    pub start_wall: Duration,
    _work: TempDir,
}

impl AgentUnderTest {
    /// How long the stop of an agent takes that is still attaching its probes.
    pub(crate) async fn start_and_stop() -> Result<Duration> {
        let (process, _port, _work) = Self::begin()?;
        tokio::time::sleep(Duration::from_millis(50)).await;
        process.stop().await
    }

    fn begin() -> Result<(Measured, u16, TempDir)> {
        let work = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = work.path().join("agent.yaml");
        let text = format!(
            "version: 1\nstate_dir: {}\nexport:\n  kind: none\nadmin:\n  listen: 127.0.0.1:{port}\n",
            work.path().join("state").display()
        );
        std::fs::write(&config, text)?;
        let log = work.path().join("agent.log");
        let config = config.display().to_string();
        let process = Measured::start(&sibling("wake-agent")?, &["--config", &config], &log)?;
        Ok((process, port, work))
    }

    pub(crate) async fn start() -> Result<Self> {
        let begin = Instant::now();
        let (process, port, work) = Self::begin()?;
        let http = reqwest::Client::new();
        while begin.elapsed() < Duration::from_secs(60) {
            if let Ok(answer) = http.get(format!("http://127.0.0.1:{port}/readyz")).send().await
                && answer.status().is_success()
            {
                let probes = http.get(format!("http://127.0.0.1:{port}/probes")).send().await?.text().await?;
                println!("  probes: {probes}");
                let start_cpu = process.cpu()?;
                return Ok(Self { process, start_cpu, start_wall: begin.elapsed(), _work: work });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!(
            "the agent is not ready after 60 s:\n{}",
            std::fs::read_to_string(work.path().join("agent.log")).unwrap_or_default()
        )
    }

    /// Resident memory of the process and memory of the maps it holds.
    pub(crate) fn report_memory(&self, when: &str, report: &mut Report) -> Result<()> {
        report.figure(&format!("agent: RSS MiB, {when}"), self.process.rss_mib());
        report.figure(&format!("agent: BPF maps MiB, {when}"), self.map_bytes()? as f64 / f64::from(1 << 20));
        Ok(())
    }

    fn map_bytes(&self) -> Result<u64> {
        let mut maps = std::collections::BTreeMap::new();
        let fdinfo = format!("/proc/{}/fdinfo", self.process.pid());
        for entry in std::fs::read_dir(fdinfo).context("list the agent's descriptors")? {
            let text = std::fs::read_to_string(entry?.path()).unwrap_or_default();
            let value = |key: &str| {
                let line = text.lines().find(|line| line.starts_with(key))?;
                line.split_whitespace().nth(1)?.parse::<u64>().ok()
            };
            if let (Some(id), Some(bytes), Some(_)) =
                (value("map_id:"), value("memlock:"), value("map_type:"))
            {
                maps.insert(id, bytes);
            }
        }
        Ok(maps.values().sum())
    }
}
