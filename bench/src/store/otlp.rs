//! Bodies of a given data set: `{u32 wire bytes, u32 lines, u32 text bytes, gzip OTLP ExportLogsServiceRequest}`.
//!
//! Only the fields that the rows need are decoded (opentelemetry/proto/logs/v1/logs.proto).

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use prost::Message as _;
use proto::v1;

use super::pack::Packer;
use super::truth::Truth;

#[derive(Clone, PartialEq, prost::Message)]
struct Export {
    #[prost(message, repeated, tag = "1")]
    resource_logs: Vec<ResourceLogs>,
}
#[derive(Clone, PartialEq, prost::Message)]
struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_logs: Vec<ScopeLogs>,
}
#[derive(Clone, PartialEq, prost::Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}
#[derive(Clone, PartialEq, prost::Message)]
struct ScopeLogs {
    #[prost(message, repeated, tag = "2")]
    log_records: Vec<LogRecord>,
}
#[derive(Clone, PartialEq, prost::Message)]
struct LogRecord {
    #[prost(fixed64, tag = "1")]
    time: u64,
    #[prost(string, tag = "3")]
    severity_text: String,
    #[prost(message, optional, tag = "5")]
    body: Option<AnyValue>,
}
#[derive(Clone, PartialEq, prost::Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}
#[derive(Clone, PartialEq, prost::Message)]
struct AnyValue {
    #[prost(bytes = "bytes", tag = "1")]
    text: bytes::Bytes,
}

/// Packs every body into agent batches of at most 1 MiB of payload; returns the folder's truth.
pub(crate) fn pack_bodies(data: &Path, out: &Path) -> Result<Truth> {
    let truth = std::fs::read(data.join("truth.json")).context("read truth.json of the data folder")?;
    let mut truth: Truth = serde_json::from_slice(&truth).context("parse truth.json")?;
    let bodies = File::open(data.join("bodies.otlp")).context("open bodies.otlp of the data folder")?;
    let mut bodies = BufReader::with_capacity(1 << 20, bodies);
    let mut packer = Packer::create(out)?;
    let mut header = [0; 12];
    truth.lines = 0;
    while bodies.read_exact(&mut header).is_ok() {
        let wire = u32::from_le_bytes(header[..4].try_into()?) as usize;
        truth.lines += u64::from(u32::from_le_bytes(header[4..8].try_into()?));
        let mut body = vec![0; wire];
        bodies.read_exact(&mut body).context("a body ends early")?;
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&*body).read_to_end(&mut plain).context("unpack a body")?;
        pack(&Export::decode(&*plain).context("decode a body")?, &mut packer)?;
    }
    packer.finish()?;
    Ok(truth)
}

/// Calls `take` with the workload, time and body of every line.
pub(crate) fn each_line(data: &Path, mut take: impl FnMut(&str, i64, &[u8])) -> Result<()> {
    let bodies = File::open(data.join("bodies.otlp")).context("open bodies.otlp of the data folder")?;
    let mut bodies = BufReader::with_capacity(1 << 20, bodies);
    let mut header = [0; 12];
    while bodies.read_exact(&mut header).is_ok() {
        let mut body = vec![0; u32::from_le_bytes(header[..4].try_into()?) as usize];
        bodies.read_exact(&mut body).context("a body ends early")?;
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&*body).read_to_end(&mut plain).context("unpack a body")?;
        let export = Export::decode(&*plain).context("decode a body")?;
        for resource in &export.resource_logs {
            let workload = identity(resource).workload;
            for record in resource.scope_logs.iter().flat_map(|scope| &scope.log_records) {
                let text = record.body.as_ref().map(|body| &body.text[..]).unwrap_or_default();
                take(&workload, record.time.cast_signed(), text);
            }
        }
    }
    Ok(())
}

fn pack(export: &Export, packer: &mut Packer) -> Result<()> {
    let mut payload = v1::Payload::default();
    let mut node = String::new();
    let mut bytes = 0;
    for resource in &export.resource_logs {
        let identity = identity(resource);
        node.clone_from(&identity.node);
        payload.identities.push(identity);
        for record in resource.scope_logs.iter().flat_map(|scope| &scope.log_records) {
            let body = record.body.as_ref().map(|body| body.text.clone()).unwrap_or_default();
            if bytes + body.len() > 900 << 10 {
                packer.add(&node, &payload)?;
                payload.logs.clear();
                bytes = 0;
            }
            bytes += body.len() + 40;
            payload.logs.push(v1::LogRow {
                identity: u32::try_from(payload.identities.len() - 1)?,
                ts: record.time,
                observed_ts: record.time,
                body,
                level: record.severity_text.clone(),
                stream: "stdout".to_owned(),
                ..Default::default()
            });
        }
    }
    packer.add(&node, &payload)
}

fn identity(resource: &ResourceLogs) -> v1::Identity {
    let get = |keys: &[&str]| {
        let attributes = resource.resource.iter().flat_map(|resource| &resource.attributes);
        attributes
            .filter(|attribute| keys.contains(&attribute.key.as_str()))
            .find_map(|attribute| attribute.value.as_ref())
            .map(|value| String::from_utf8_lossy(&value.text).into_owned())
            .unwrap_or_default()
    };
    v1::Identity {
        node: get(&["k8s.node.name"]),
        namespace: get(&["k8s.namespace.name"]),
        workload: get(&["service.name", "k8s.deployment.name"]),
        workload_kind: "Deployment".to_owned(),
        pod: get(&["k8s.pod.name"]),
        container: get(&["k8s.container.name"]),
        ..Default::default()
    }
}
