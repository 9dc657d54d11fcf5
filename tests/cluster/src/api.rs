//! Wake's API from outside the cluster: a port-forward to the aggregator, and curl over it.

use std::io::{self, BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::{Map, Value, json};

use crate::lab::{Lab, Row, WAKE, wait};

/// What curl says after `-m`; what came until then is an answer.
const CURL_TIMED_OUT: i32 = 28;

#[derive(Debug)]
pub(crate) struct Api {
    forward: Child,
    base: String,
    token: Option<String>,
}

impl Api {
    /// As the holder of `token`; as nobody without one. Waits for a pod that listens.
    pub(crate) fn open(lab: &Lab, token: Option<&str>) -> Self {
        wait("a port-forward to the aggregator", 60, || Self::try_open(lab, token))
    }

    fn try_open(lab: &Lab, token: Option<&str>) -> Result<Self, String> {
        let mut forward = lab.command();
        // each connection that curl closes is an error to it
        // to the pod by way of its Service: any that is ready will do
        forward.args(["port-forward", "-n", WAKE, "service/wake-aggregator", ":9401"]);
        let mut forward = forward.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        let mut told = BufReader::new(forward.stdout.take().unwrap());
        told.read_line(&mut line).unwrap();
        // it says a word about every connection, and ends when nobody listens
        thread::spawn(move || io::copy(&mut told, &mut io::sink()));
        let port = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next());
        let Some(port) = port else {
            forward.kill().ok();
            forward.wait().ok();
            return Err(format!("kubectl port-forward said: {line}"));
        };
        Ok(Self { base: format!("https://127.0.0.1:{port}"), forward, token: token.map(str::to_owned) })
    }

    /// The status and body of a request.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&str>) -> Result<(u16, String), String> {
        self.call_for(40, method, path, body)
    }

    /// As `call`; an answer that has not ended after so many seconds, as of a log that is followed, is cut there.
    pub(crate) fn call_for(
        &self,
        seconds: u32,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> Result<(u16, String), String> {
        let mut curl = Command::new("curl");
        curl.args(["-sSkN", "-m", &seconds.to_string(), "-X", method, "-w", "\n%{http_code}"]);
        if let Some(token) = &self.token {
            curl.args(["-H", &format!("Authorization: Bearer {token}")]);
        }
        if let Some(body) = body {
            curl.args(["-H", "Content-Type: application/json", "--data-binary", body]);
        }
        let output = curl.arg(format!("{}{path}", self.base)).output().map_err(|error| error.to_string())?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        if !matches!(output.status.code(), Some(0 | CURL_TIMED_OUT)) {
            return Err(format!("{method} {path}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let (body, status) = told.rsplit_once('\n').ok_or("no status")?;
        Ok((status.parse().map_err(|_| format!("status {status}"))?, body.to_owned()))
    }

    /// The rows of an SQL query, each with its columns' names. An answer may say that it is incomplete: earlier tests lose
    /// lines on purpose.
    pub(crate) fn sql(&self, query: &str) -> Result<Vec<Row>, String> {
        let (status, body) =
            self.call("POST", "/api/v1/sql", Some(&json!({ "query": query }).to_string()))?;
        let answer: Value = serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
        if status != 200 {
            return Err(format!("{query}: {status}: {answer}"));
        }
        let columns: Vec<&str> = answer["columns"]
            .as_array()
            .ok_or("columns")?
            .iter()
            .filter_map(|column| column["name"].as_str())
            .collect();
        let row = |values: &Value| {
            let values = values.as_array().cloned().unwrap_or_default();
            let named: Map<String, Value> =
                columns.iter().map(|name| (*name).to_owned()).zip(values).collect();
            Value::Object(named)
        };
        Ok(answer["rows"].as_array().ok_or("rows")?.iter().map(row).collect())
    }

    /// The rows, once there are some.
    #[track_caller]
    pub(crate) fn rows(&self, what: &str, query: &str) -> Vec<Row> {
        wait(what, 90, || match self.sql(query)? {
            rows if rows.is_empty() => Err(format!("no row of: {query}")),
            rows => Ok(rows),
        })
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.forward.kill().ok();
        self.forward.wait().ok();
    }
}
