//! Requests to the aggregator, and its errors in words.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use reqwest::{RequestBuilder, Response};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::access::Access;

/// One row, as the API gives it.
pub(crate) type Row = Map<String, Value>;

/// Long enough for the server's own limit on a query to answer first.
const PATIENCE: Duration = Duration::from_secs(90);

/// The aggregator at one address.
#[derive(Debug)]
pub(crate) struct Client {
    server: String,
    http: reqwest::Client,
    token: Option<String>,
}

/// The rows of one answer.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) rows: Vec<Row>,
    #[serde(default = "yes")]
    pub(crate) complete: bool,
    #[serde(default)]
    pub(crate) reasons: Vec<Row>,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Debug, Deserialize)]
struct ErrorDetail {
    code: String,
    message: String,
    position: Option<Position>,
}

#[derive(Debug, Deserialize)]
struct Position {
    parameter: Option<String>,
    offset: Option<usize>,
    line: Option<usize>,
    column: Option<usize>,
}

impl Client {
    pub(crate) fn new(server: &str, access: &Access) -> Result<Self> {
        let server = server.trim_end_matches('/');
        let server = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
        let token = access.token_for(&server)?;
        let http = || reqwest::Client::builder().no_proxy().connect_timeout(Duration::from_secs(5));
        let http = match access.trust(http())?.build() {
            // a container has no certificates of a system, and plain HTTP needs none
            Err(_) if server.starts_with("http://") => http().tls_certs_only([]).build()?,
            built => built.context("prepare TLS; --ca or WAKE_CA names whom to trust")?,
        };
        Ok(Self { server, http, token })
    }

    /// Sends this token with every request, unless one was given.
    pub(crate) fn bearing(self, token: Option<String>) -> Self {
        Self { token: self.token.or(token), ..self }
    }

    /// The rows that `GET /api/v1/<path>` answers.
    pub(crate) async fn rows(&self, path: &str, params: &[(&str, String)]) -> Result<Answer> {
        let response = self.send(self.get(path, params).timeout(PATIENCE), params).await?;
        response.json().await.with_context(|| format!("read the answer of {}", self.server))
    }

    /// The one object that `GET /api/v1/<path>` answers.
    pub(crate) async fn object(&self, path: &str) -> Result<Row> {
        self.object_with(path, &[]).await
    }

    /// The one object that `GET /api/v1/<path>` answers to these parameters.
    pub(crate) async fn object_with(&self, path: &str, params: &[(&str, String)]) -> Result<Row> {
        let response = self.send(self.get(path, params).timeout(PATIENCE), params).await?;
        response.json().await.with_context(|| format!("read the answer of {}", self.server))
    }

    /// What any address answers; the token stays here.
    pub(crate) async fn any(&self, url: &str) -> Result<Value> {
        let asked = self.http.get(url).timeout(PATIENCE).send().await;
        let answer = asked.and_then(Response::error_for_status).with_context(|| format!("ask {url}"))?;
        answer.json().await.with_context(|| format!("read the answer of {url}"))
    }

    /// A stream of JSON lines that ends only with the connection.
    pub(crate) async fn stream(&self, path: &str, params: &[(&str, String)]) -> Result<Response> {
        self.send(self.get(path, params), params).await
    }

    /// The answer to a JSON body.
    pub(crate) async fn post(&self, path: &str, body: &Value, query: &str) -> Result<Row> {
        let request = self.http.post(format!("{}/api/v1/{path}", self.server)).json(body).timeout(PATIENCE);
        let response = self.send(request, &[("query", query.to_owned())]).await?;
        response.json().await.with_context(|| format!("read the answer of {}", self.server))
    }

    fn get(&self, path: &str, params: &[(&str, String)]) -> RequestBuilder {
        self.http.get(format!("{}/api/v1/{path}", self.server)).query(params)
    }

    async fn send(&self, request: RequestBuilder, params: &[(&str, String)]) -> Result<Response> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.text().await.unwrap_or_default();
        let Ok(ErrorBody { error }) = serde_json::from_str(&body) else {
            bail!("{} answered {status}: is it a wake-aggregator?", self.server);
        };
        Err(anyhow!(in_words(&error, params)))
    }

    fn unreachable(&self, error: reqwest::Error) -> anyhow::Error {
        if error.is_builder() {
            return anyhow!("{:?} is no address; give one as http://HOST:PORT", self.server);
        }
        if error.is_timeout() && !error.is_connect() {
            return anyhow!("{} gave no answer within {} s", self.server, PATIENCE.as_secs());
        }
        if let Some(why) = certificate_trouble(&error) {
            return anyhow!(
                "the certificate of {} was not accepted: {why}; name its CA with --ca or WAKE_CA",
                self.server
            );
        }
        if error.is_connect() {
            return anyhow!(
                "no aggregator answers at {}; start one with `cargo xtask up`, or name another with --server or \
                 WAKE_SERVER",
                self.server
            );
        }
        anyhow::Error::new(error).context(format!("ask {}", self.server))
    }
}

/// What is wrong with the other side's certificate, if that is it.
fn certificate_trouble(error: &reqwest::Error) -> Option<String> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        let found = error.downcast_ref::<rustls::Error>();
        let found = found.or_else(|| inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()));
        if let Some(found @ rustls::Error::InvalidCertificate(_)) = found {
            return Some(found.to_string());
        }
        cause = error.source();
    }
    None
}

/// The message, and below it the text with a mark where it goes wrong.
fn in_words(error: &ErrorDetail, params: &[(&str, String)]) -> String {
    let mut words = match error.code.as_str() {
        "invalid" => error.message.clone(),
        "unauthenticated" => format!("{}; give one with --token-file, --token or WAKE_TOKEN", error.message),
        "forbidden" => format!("not allowed: {}", error.message),
        code => format!("{} ({code})", error.message),
    };
    let Some(position) = &error.position else { return words };
    let named = position.parameter.as_deref().unwrap_or("query");
    let given: Vec<&String> =
        params.iter().filter(|(name, _)| *name == named).map(|(_, text)| text).collect();
    let ([text], Some((line, column))) = (given.as_slice(), place(position, given.first().copied())) else {
        return words;
    };
    let shown = text.lines().nth(line).unwrap_or(text);
    words.push_str(&format!("\n  {shown}\n  {}^", " ".repeat(column)));
    words
}

/// Line and column, both from 0.
fn place(position: &Position, text: Option<&String>) -> Option<(usize, usize)> {
    if let (Some(line), Some(column)) = (position.line, position.column) {
        return Some((line.checked_sub(1)?, column.checked_sub(1)?));
    }
    let before = text?.get(..position.offset?)?;
    Some((before.matches('\n').count(), before.rsplit('\n').next()?.chars().count()))
}

#[cfg(test)]
mod tests {
    use super::{ErrorBody, in_words};

    #[track_caller]
    fn check(body: &str, params: &[(&str, String)], expect: &str) {
        let body: ErrorBody = serde_json::from_str(body).unwrap();
        assert_eq!(in_words(&body.error, params), expect);
    }

    #[test]
    fn a_mistake_is_shown_where_it_is() {
        check(
            r#"{"error":{"code":"invalid","message":"unclosed group","position":{"parameter":"regex","offset":2}}}"#,
            &[("regex", "a b(".to_owned())],
            "unclosed group\n  a b(\n    ^",
        );
        check(
            r#"{"error":{"code":"invalid","message":"no such column","position":{"line":2,"column":3}}}"#,
            &[("query", "select\n  x".to_owned())],
            "no such column\n    x\n    ^",
        );
    }

    #[test]
    fn other_codes_are_named() {
        check(r#"{"error":{"code":"busy","message":"too many queries"}}"#, &[], "too many queries (busy)");
    }
}
