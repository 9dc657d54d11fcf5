//! The endpoint's client, with the headers of a file that may change.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use daemon::otlp::{Http, HttpError, Outcome};

use crate::config::export::OtlpExport;

/// Larger is no file of headers.
const MAX_FILE_BYTES: usize = 64 << 10;

/// Headers or certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The file of headers cannot be read.
    #[error("read export.otlp.headers_file {path}: {detail}")]
    Headers {
        /// The file.
        path: String,
        /// Why.
        detail: String,
    },
    /// The client cannot be made.
    #[error("make the client of export.otlp")]
    Http(#[from] HttpError),
}

/// Posts to the endpoint.
#[derive(Debug)]
pub(super) struct Client {
    endpoint: String,
    headers_file: PathBuf,
    ca_file: Option<PathBuf>,
    timeout: Duration,
    /// What the file said.
    headers: BTreeMap<String, String>,
    http: Http,
}

impl Client {
    pub(super) fn new(config: &OtlpExport) -> Result<Self, ClientError> {
        let OtlpExport { endpoint, headers_file, ca_file, timeout_s, .. } = config;
        let ca_file = (!ca_file.as_os_str().is_empty()).then(|| ca_file.clone());
        let timeout = Duration::from_secs(*timeout_s);
        let headers = read(headers_file)?;
        let http = Http::build(endpoint, &headers, ca_file.as_deref(), timeout)?;
        let (endpoint, headers_file) = (endpoint.clone(), headers_file.clone());
        Ok(Self { endpoint, headers_file, ca_file, timeout, headers, http })
    }

    /// Sends one request.
    pub(super) async fn post(&self, path: &str, body: &[u8]) -> Outcome {
        self.http.post(path, body).await
    }

    /// Reads headers and certificates again. What cannot be used leaves what was there before.
    ///
    /// # Errors
    /// When headers or certificates cannot be used.
    pub(super) fn refresh(&mut self) -> Result<(), ClientError> {
        let headers = read(&self.headers_file)?;
        self.http = Http::build(&self.endpoint, &headers, self.ca_file.as_deref(), self.timeout)?;
        self.headers = headers;
        Ok(())
    }

    /// Whether the file says something else than before.
    pub(super) fn is_stale(&self) -> bool {
        read(&self.headers_file).is_ok_and(|headers| headers != self.headers)
    }
}

fn read(path: &PathBuf) -> Result<BTreeMap<String, String>, ClientError> {
    if path.as_os_str().is_empty() {
        return Ok(BTreeMap::new());
    }
    let failed = |detail: String| ClientError::Headers { path: path.display().to_string(), detail };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    if text.len() > MAX_FILE_BYTES {
        return Err(failed(format!("more than {MAX_FILE_BYTES} bytes")));
    }
    let mut headers = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // the line itself may be a secret
        let Some((name, value)) = line.split_once(':') else {
            return Err(failed(format!("line {} is not `Name: value`", index + 1)));
        };
        headers.insert(name.trim().to_owned(), value.trim().to_owned());
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::{Client, read};
    use crate::config::export::OtlpExport;

    #[test]
    fn a_file_of_headers_is_read_and_a_mistake_names_its_line_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_path_buf();
        std::fs::write(&path, "# key\nX-Api-Key: abc:def\n\nauthorization:Bearer t\n").unwrap();
        let headers = read(&path).unwrap();
        let pairs: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("X-Api-Key", "abc:def"), ("authorization", "Bearer t")]);
        std::fs::write(&path, "X-Api-Key: abc\nsecret\n").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.ends_with("line 2 is not `Name: value`") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn a_changed_file_is_taken_and_a_bad_one_leaves_what_was() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_path_buf();
        std::fs::write(&path, "a: 1\n").unwrap();
        let config = OtlpExport {
            endpoint: "http://127.0.0.1:1".into(),
            headers_file: path.clone(),
            ..OtlpExport::default()
        };
        let mut client = Client::new(&config).unwrap();
        assert!(!client.is_stale());
        std::fs::write(&path, "a: 2\n").unwrap();
        assert!(client.is_stale());
        client.refresh().unwrap();
        assert!(!client.is_stale());
        std::fs::write(&path, "a: \u{7f}\n").unwrap();
        assert!(client.refresh().is_err());
        assert_eq!(client.headers["a"], "2");
    }
}
