//! The real aggregator, started on free ports with its data in a folder of the benchmark.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::process::{Measured, sibling};

#[derive(Debug)]
pub(crate) struct Server {
    pub process: Measured,
    pub ingest: String,
    pub api: String,
    pub data: PathBuf,
    http: reqwest::Client,
}

impl Server {
    pub(crate) async fn start(data: &Path, profile: &str, work: &Path) -> Result<Self> {
        let (ingest, api) = (free_port()?, free_port()?);
        let config = work.join("aggregator.yaml");
        let text = format!(
            "version: 1\ndata_dir: {}\ningest:\n  listen: 127.0.0.1:{ingest}\napi:\n  listen: 127.0.0.1:{api}\n\
             store:\n  profile: {profile}\n",
            data.display()
        );
        std::fs::write(&config, text).context("write the aggregator's config")?;
        let config = config.display().to_string();
        let binary = sibling("wake-aggregator")?;
        let process = Measured::start(&binary, &["--config", &config], &work.join("aggregator.log"))?;
        let server = Self {
            process,
            ingest: format!("http://127.0.0.1:{ingest}"),
            api: format!("http://127.0.0.1:{api}"),
            data: data.to_owned(),
            http: reqwest::Client::new(),
        };
        server.wait_until_ready(&work.join("aggregator.log")).await?;
        Ok(server)
    }

    async fn wait_until_ready(&self, log: &Path) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(60) {
            if let Ok(answer) = self.http.get(format!("{}/readyz", self.api)).send().await
                && answer.status().is_success()
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("the aggregator is not ready after 60 s:\n{}", std::fs::read_to_string(log).unwrap_or_default())
    }

    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        let answer = self.http.get(format!("{}{path}", self.api)).query(query).send().await?;
        let ok = answer.status().is_success();
        let text = answer.text().await?;
        if !ok {
            bail!("GET {path}: {text}");
        }
        serde_json::from_str(&text).with_context(|| format!("GET {path}"))
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = self.http.post(format!("{}{path}", self.api)).json(body).send().await?;
        let ok = answer.status().is_success();
        let text = answer.text().await?;
        if !ok {
            bail!("POST {path}: {text}");
        }
        serde_json::from_str(&text).with_context(|| format!("POST {path}"))
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").context("find a free port")?.local_addr()?.port())
}
