//! A wake-agent that reads requests, and what it says of them.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use super::cgroup::Group;
use super::sink;
use crate::process::{Measured, sibling};

/// Ended when dropped.
#[derive(Debug)]
pub(crate) struct Wake {
    process: Measured,
    port: u16,
    http: reqwest::Client,
    sink: tokio::task::JoinHandle<()>,
    _work: TempDir,
}

/// What it has counted until now: by server and client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub counted: [f64; 2],
    pub spans: [f64; 2],
    /// Of the signal `span`.
    pub lost: f64,
    pub cpu: Duration,
}

impl Wake {
    pub(crate) async fn start() -> Result<Self> {
        let work = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let (address, sink) = sink::listen().await?;
        let config = work.path().join("agent.yaml");
        // windows of a second, so that what is counted can be asked for soon; a budget that sheds nothing
        let text = format!(
            "version: 1\nstate_dir: {}\nwindow: {{seconds: 1}}\nlogs: {{enabled: false}}\n\
             export: {{kind: otlp, endpoint: \"http://{address}\"}}\nadmin: {{listen: \"127.0.0.1:{port}\"}}\n\
             budget: {{cpu_ms_per_second: 8000}}\n\
             probes:\n  requests: {{enabled: true, max_spans: 1000000}}\n  tls: {{mode: always}}\n",
            work.path().join("state").display()
        );
        std::fs::write(&config, text)?;
        let log = work.path().join("agent.log");
        let config = config.display().to_string();
        let process = Measured::start(&sibling("wake-agent")?, &["--config", &config], &log)?;
        let wake = Self { process, port, http: reqwest::Client::new(), sink, _work: work };
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(60) {
            if wake.ask("readyz").await.is_ok() {
                return Ok(wake);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the agent is not ready after 60 s:\n{}", std::fs::read_to_string(log).unwrap_or_default())
    }

    async fn ask(&self, path: &str) -> Result<String> {
        let answer = self.http.get(format!("http://127.0.0.1:{}/{path}", self.port)).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// Waits until the window that is open now has been told.
    pub(crate) async fn settle(&self) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        self.ask("readyz").await.map(drop)
    }

    pub(crate) async fn look(&self, server: &Group, client: &Group) -> Result<Look> {
        let text = self.ask("metrics").await?;
        let sum = |name: &str, holds: &[String]| -> f64 {
            text.lines()
                .filter(|line| {
                    line.starts_with(name) && holds.iter().all(|part| line.contains(part.as_str()))
                })
                .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
                .sum()
        };
        let of = |name: &str| {
            [(server, "server"), (client, "client")].map(|(group, kind)| {
                let workload = format!("workload=\"{}\"", group.workload());
                sum(name, &[workload, format!("kind=\"{kind}\"")])
            })
        };
        Ok(Look {
            counted: of("wake_requests_total{"),
            spans: of("wake_request_spans_total{"),
            lost: sum("wake_agent_lost", &["signal=\"span\"".to_owned()]),
            cpu: self.process.cpu()?,
        })
    }

    pub(crate) fn rss_mib(&self) -> f64 {
        self.process.rss_mib()
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.process.stop().await.context("stop the agent")?;
        self.sink.abort();
        Ok(())
    }
}
