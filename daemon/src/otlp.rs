//! OTLP/HTTP as a client: one POST, and what its answer means. Agent and aggregator export through it, and the aggregator
//! answers with the same messages.
//!
//! Does not: repeat anything, nor decide what becomes of records that were not taken.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Client, Response, StatusCode};

/// The most bytes of an answer that are read.
const MOST_ANSWER: usize = 64 << 10;
/// What requests and answers are.
const PROTOBUF: &str = "application/x-protobuf";

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Taken but for so many records, and why these were not.
    Taken {
        /// Records that were not taken.
        rejected: u64,
        /// In the endpoint's words.
        why: String,
    },
    /// Not now; when to try again, if it was said.
    Later {
        /// How long to wait.
        after: Option<Duration>,
        /// What happened.
        why: String,
    },
    /// Not there: what answers serves no OTLP, or not to us. Until a person mends that, nothing is to be dropped.
    Misplaced {
        /// What happened, and what to look at.
        why: String,
    },
    /// Not so much at a time.
    TooLarge {
        /// What happened.
        why: String,
    },
    /// Never.
    Refused {
        /// What happened.
        why: String,
    },
}

/// The client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// A header cannot be sent.
    #[error("the header {0:?} cannot be sent")]
    Header(String),
    /// The authority's certificates cannot be read.
    #[error("read the certificates in {path}: {detail}")]
    Authority {
        /// The file.
        path: String,
        /// Why.
        detail: String,
    },
    /// The HTTP client cannot be made.
    #[error("make an HTTP client")]
    Client(#[source] reqwest::Error),
}

/// Posts to one endpoint.
#[derive(Clone, Debug)]
pub struct Http {
    endpoint: String,
    /// On this machine: nothing is saved by packing.
    is_near: bool,
    client: Client,
}

/// The answer to a request that was taken, of every signal: they number their fields alike.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Answer {
    /// Absent if all of it was taken.
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

/// What of a request was not taken.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PartialSuccess {
    /// Records.
    #[prost(int64, tag = "1")]
    pub rejected: i64,
    /// Why.
    #[prost(string, tag = "2")]
    pub message: String,
}

impl Http {
    /// A client of `endpoint`, such as `https://collector:4318`.
    ///
    /// # Errors
    /// If a header or the certificates cannot be used.
    pub fn build(
        endpoint: &str,
        headers: &BTreeMap<String, String>,
        ca_file: Option<&Path>,
        timeout: Duration,
    ) -> Result<Self, HttpError> {
        // another part may have done it already: it is the same one
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let bad = || HttpError::Header(name.clone());
            let mut value = HeaderValue::from_str(value).map_err(|_bad| bad())?;
            value.set_sensitive(true);
            map.insert(HeaderName::try_from(name.as_str()).map_err(|_bad| bad())?, value);
        }
        let mut builder = Client::builder()
            .no_proxy()
            .default_headers(map)
            .connect_timeout(Duration::from_secs(5).min(timeout))
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none());
        if let Some(path) = ca_file {
            let failed = |detail: String| HttpError::Authority { path: path.display().to_string(), detail };
            let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
            let certificates =
                Certificate::from_pem_bundle(&pem).map_err(|error| failed(error.to_string()))?;
            builder = builder.tls_certs_only(certificates);
        } else if endpoint.starts_with("http://") {
            // a container has no certificates of a system, and plain HTTP needs none
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(HttpError::Client)?;
        let is_near = is_loopback(endpoint);
        Ok(Self { endpoint: endpoint.trim_end_matches('/').to_owned(), is_near, client })
    }

    /// Sends one request: packed with gzip, but as it is to an endpoint on this machine.
    pub async fn post(&self, path: &str, body: &[u8]) -> Outcome {
        self.post_shared(path, Bytes::copy_from_slice(body)).await
    }

    /// The same with a body that need not be copied.
    pub async fn post_shared(&self, path: &str, body: Bytes) -> Outcome {
        let request = self.client.post(format!("{}{path}", self.endpoint)).header(CONTENT_TYPE, PROTOBUF);
        let request = if self.is_near {
            request.body(body)
        } else {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            match packed.write_all(&body).and_then(|()| packed.finish()) {
                Ok(packed) => request.header("Content-Encoding", "gzip").body(packed),
                // memory does not fail
                Err(error) => return Outcome::Refused { why: format!("pack the request: {error}") },
            }
        };
        match request.send().await {
            Ok(response) => judge(response, path).await,
            Err(error) => Outcome::Later { after: None, why: crate::log::chain(&error) },
        }
    }
}

/// Whether an endpoint says an address of this machine, or its name.
fn is_loopback(endpoint: &str) -> bool {
    let host = reqwest::Url::parse(endpoint).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        address.map_or(host == "localhost", |address| address.is_loopback())
    })
}

async fn judge(response: Response, path: &str) -> Outcome {
    let status = response.status();
    let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    if !status.is_success() {
        return refusal(status, after.map(Duration::from_secs), path);
    }
    let kind = response
        .headers()
        .get(CONTENT_TYPE)
        .map(|kind| String::from_utf8_lossy(kind.as_bytes()).into_owned());
    match read(response).await {
        Ok(answer) => success(status, kind.as_deref(), answer.as_deref()),
        Err(error) => Outcome::Later { after: None, why: crate::log::chain(&error) },
    }
}

/// What a success says. A page of a proxy or of another service comes with one, too, and has taken nothing.
fn success(status: StatusCode, kind: Option<&str>, answer: Option<&[u8]>) -> Outcome {
    let is_protobuf = kind
        .and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(PROTOBUF));
    let decoded = match answer {
        Some([]) => Some(Answer::default()),
        Some(bytes) if is_protobuf => Answer::decode(bytes).ok(),
        Some(_) | None => None,
    };
    let Some(Answer { partial_success }) = decoded else {
        let kind: String = kind.unwrap_or("no content type").chars().take(100).collect();
        return Outcome::Misplaced { why: format!("{status} with {kind}: look at the endpoint") };
    };
    let PartialSuccess { rejected, message } = partial_success.unwrap_or_default();
    Outcome::Taken { rejected: u64::try_from(rejected).unwrap_or(0), why: message }
}

/// What a status says that is no success. OTLP names four that may be repeated as they are (429, 502, 503, 504) and none
/// of the others; what is said by somebody else than an OTLP endpoint is not an answer to our records at all.
fn refusal(status: StatusCode, after: Option<Duration>, path: &str) -> Outcome {
    let why = status.to_string();
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT
        | StatusCode::REQUEST_TIMEOUT => Outcome::Later { after, why },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            Outcome::Misplaced { why: format!("{why}: look at the headers that prove who sends") }
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::GONE => Outcome::Misplaced {
            why: format!("{why}: nothing takes OTLP/HTTP at {path} there; look at the endpoint"),
        },
        _ if status.is_redirection() => {
            Outcome::Misplaced { why: format!("{why}: redirects are not followed; look at the endpoint") }
        }
        StatusCode::PAYLOAD_TOO_LARGE => Outcome::TooLarge { why },
        _ => Outcome::Refused { why },
    }
}

/// The answer's body, if it is of a sensible size.
async fn read(mut response: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > MOST_ANSWER {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::{Http, Outcome, is_loopback, refusal, success};
    use reqwest::StatusCode;
    use std::collections::BTreeMap;
    use std::time::Duration;

    #[tokio::test]
    async fn what_goes_far_is_packed() {
        use std::io::Read as _;
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let mut http = Http::build(&endpoint, &BTreeMap::new(), None, Duration::from_secs(30)).unwrap();
        assert!(http.is_near);
        http.is_near = false;
        let far = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            let (end, length) = loop {
                assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
                let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
                let head = String::from_utf8_lossy(&seen[..end]).to_lowercase();
                assert!(head.contains("content-encoding: gzip"));
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                let length: usize = length.parse().unwrap();
                if seen.len() >= end + 4 + length {
                    break (end + 4, length);
                }
            };
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&seen[end..end + length]).read_to_end(&mut plain).unwrap();
            plain
        });
        let body = b"span span span span".repeat(20);
        let taken = Outcome::Taken { rejected: 0, why: String::new() };
        assert_eq!(http.post("/v1/traces", &body).await, taken);
        assert_eq!(far.await.unwrap(), body);
    }

    #[test]
    fn what_is_on_this_machine_is_near() {
        for near in ["http://127.0.0.1:4318", "https://localhost", "http://[::1]:4318/base"] {
            assert!(is_loopback(near), "{near}");
        }
        for far in
            ["http://10.0.0.1:4318", "https://collector:4318", "http://127.example.com", "", "localhost"]
        {
            assert!(!is_loopback(far), "{far}");
        }
    }

    #[test]
    fn every_status_is_repeated_held_halved_or_final() {
        let word = |code: u16| match refusal(StatusCode::from_u16(code).unwrap(), None, "/v1/logs") {
            Outcome::Taken { .. } => "taken",
            Outcome::Later { .. } => "later",
            Outcome::Misplaced { .. } => "misplaced",
            Outcome::TooLarge { .. } => "too large",
            Outcome::Refused { .. } => "refused",
        };
        for (codes, expected) in [
            (&[408, 429, 502, 503, 504][..], "later"),
            (&[301, 307, 308, 401, 403, 404, 405, 407, 410], "misplaced"),
            (&[413], "too large"),
            (&[400, 415, 422, 431, 500, 501, 505, 507], "refused"),
        ] {
            for code in codes {
                assert_eq!(word(*code), expected, "{code}");
            }
        }
        let partial = [0x0a, 5, 0x08, 1, 0x12, 1, b'x'];
        let (protobuf, page) = (Some("Application/X-Protobuf; charset=x"), b"<html>welcome</html>");
        let success = |kind, answer| success(StatusCode::OK, kind, answer);
        for kind in [None, Some("text/html"), protobuf] {
            let whole = Outcome::Taken { rejected: 0, why: String::new() };
            assert_eq!(success(kind, Some(&[])), whole, "no body is a whole success");
        }
        let one = Outcome::Taken { rejected: 1, why: "x".into() };
        assert_eq!(success(protobuf, Some(&partial)), one);
        for (kind, answer, named) in [
            (Some("text/html"), Some(&page[..]), "text/html"),
            (Some("application/octet-stream"), Some(&partial), "application/octet-stream"),
            (None, Some(&page[..]), "no content type"),
            (protobuf, Some(&page[..]), "Application/X-Protobuf; charset=x"),
            // more than is read
            (protobuf, None, "Application/X-Protobuf; charset=x"),
        ] {
            let why = format!("200 OK with {named}: look at the endpoint");
            assert_eq!(success(kind, answer), Outcome::Misplaced { why });
        }
        let after = Some(Duration::from_secs(3));
        let told = refusal(StatusCode::SERVICE_UNAVAILABLE, after, "/v1/logs");
        assert_eq!(told, Outcome::Later { after, why: "503 Service Unavailable".into() });
    }
}
