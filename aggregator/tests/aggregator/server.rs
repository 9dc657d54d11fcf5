//! A server for one test: in this process, in a folder of its own, on ports of its own.

use std::net::SocketAddr;
use std::time::Duration;

use aggregator::config::Config;
use aggregator::{Aggregator, Deps};
use daemon::clock::Clock;
use daemon::shutdown::Shutdown;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::agent::Agent;

/// A running aggregator.
pub(crate) struct Server {
    pub(crate) ingest: SocketAddr,
    pub(crate) api: SocketAddr,
    pub(crate) http: reqwest::Client,
    scheme: &'static str,
    shutdown: Shutdown,
    pub(crate) dir: TempDir,
}

pub(crate) fn now_ns() -> u64 {
    Clock::system().now_unix_ns()
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_config| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::start_in(dir, change).await
    }

    pub(crate) async fn start_in(dir: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { data_dir: dir.path().join("data"), ..Config::default() };
        config.ingest.listen = String::from("127.0.0.1:0");
        config.api.listen = String::from("127.0.0.1:0");
        // its ports are one for all; what it takes is tested where whole programs run
        config.otlp.grpc_listen = String::from("off");
        config.otlp.http_listen = String::from("off");
        // the machine's disk may be full of other things
        config.store.disk_drop_percent = 100;
        config.store.disk_refuse_percent = 100;
        change(&mut config);
        let shutdown = Shutdown::new(Duration::from_secs(10));
        let deps = Deps { clock: Clock::system(), shutdown: shutdown.clone() };
        let aggregator = Aggregator::build(config, deps).await.unwrap();
        let (ingest, api) = (aggregator.ingest_address().unwrap(), aggregator.api_address().unwrap());
        aggregator.spawn().await.unwrap();
        daemon::tls::install();
        Self { ingest, api, http: reqwest::Client::new(), scheme: "http", shutdown, dir }
    }

    /// From now on it is asked over TLS, with this CA.
    pub(crate) fn trusting(self, ca: &str) -> Self {
        let ca = reqwest::Certificate::from_pem(ca.as_bytes()).unwrap();
        let http = reqwest::Client::builder().tls_certs_only([ca]).build().unwrap();
        Self { http, scheme: "https", ..self }
    }

    fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.api)
    }

    /// Stops in order, and gives the folder back.
    pub(crate) async fn stop(self) -> TempDir {
        let late = self.shutdown.run().await;
        assert!(late.is_empty(), "late: {late:?}");
        self.dir
    }

    pub(crate) async fn agent(&self, node: &str) -> Agent {
        Agent::connect(self.ingest, node).await
    }

    /// Status and body of a GET.
    pub(crate) async fn try_get(&self, path: &str, params: &[(&str, &str)]) -> (u16, Value) {
        let request = self.http.get(self.url(path)).query(params);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// The body of a GET that succeeds.
    #[track_caller]
    pub(crate) fn get(&self, path: &str, params: &[(&str, &str)]) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        let (path, params) =
            (path.to_owned(), params.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect::<Vec<_>>());
        async move {
            let params: Vec<_> = params.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            let (status, body) = self.try_get(&path, &params).await;
            assert_eq!(status, 200, "{caller}: {path} {params:?}: {body}");
            body
        }
    }

    /// Text of a GET.
    pub(crate) async fn text(&self, path: &str) -> (u16, String) {
        let response = self.http.get(self.url(path)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Status and body of a query.
    pub(crate) async fn try_sql(&self, query: &str) -> (u16, Value) {
        let request = self.http.post(self.url("/api/v1/sql")).json(&json!({ "query": query }));
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// The rows of a query that succeeds.
    pub(crate) async fn sql(&self, query: &str) -> Value {
        let (status, body) = self.try_sql(query).await;
        assert_eq!(status, 200, "{query}: {body}");
        assert_eq!(body["complete"], true, "{query}: {body}");
        body["rows"].clone()
    }

    /// Seals everything; which tables had rows.
    pub(crate) async fn seal(&self) -> Vec<String> {
        let response = self.http.post(self.url("/api/v1/admin/seal")).send().await.unwrap();
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        assert!(status.is_success(), "{body}");
        body["sealed"]
            .as_array()
            .unwrap()
            .iter()
            .map(|sealed| sealed["table"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// One column of rows that are objects.
pub(crate) fn column(answer: &Value, name: &str) -> Vec<String> {
    let text = |row: &Value| row[name].as_str().map_or_else(|| row[name].to_string(), str::to_owned);
    answer["rows"].as_array().unwrap().iter().map(text).collect()
}
