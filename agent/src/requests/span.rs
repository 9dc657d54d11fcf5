//! An exchange as a row of the table `span`.
//!
//! Attributes are OpenTelemetry's, and three of our own: `wake.connection` (`client>server`, addresses and ports as the
//! owner's socket has them: with the span's start what joins both ends), `wake.join.confidence` and `wake.truncated`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use proto::v1;

use super::connection::Placed;
use super::ids::hex;
use super::protocol::Exchange;
use crate::kernel::clock::unix_ns;
use crate::window::sample::{Owner, Row, Sample};

/// `SpanRow.source` of what the agent saw itself.
pub const SOURCE: &str = "wake";

/// Between whom, and whose.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// Whose side this is.
    pub owner: u64,
    /// Its process.
    pub tgid: u32,
    /// Whether the owner is the client.
    pub is_client: bool,
    /// The owner's end.
    pub local: SocketAddr,
    /// The other end.
    pub peer: SocketAddr,
    /// `tcp` or `udp`
    pub transport: &'static str,
    /// Whether it was encrypted on its way.
    pub is_encrypted: bool,
}

/// The row of an exchange; `boot_to_unix_ns` turns the kernel's stamps into wall time.
pub fn sample(placed: Placed, ends: &Ends, boot_to_unix_ns: i64) -> Sample {
    let Placed { exchange, context, confidence, thread } = placed;
    let mut attributes = between(ends);
    let mut put = |key: &str, value: String| {
        attributes.insert(key.to_owned(), value);
    };
    put("thread.id", thread.1.to_string());
    if let Some(confidence) = confidence.filter(|_| context.parent.is_some()) {
        put("wake.join.confidence", shown(confidence));
    }
    if exchange.truncated {
        put("wake.truncated", "true".to_owned());
    }
    if exchange.at_least {
        put("wake.at_least", "true".to_owned());
    }
    if let Some(first) = exchange.first_byte_ns {
        put("wake.first_byte_us", (first.saturating_sub(exchange.start_ns) / 1_000).to_string());
    }
    let is_refused = ends.is_client && is_client_error(&exchange);
    let error = exchange.error_type.clone().or_else(|| {
        is_refused.then(|| exchange.attribute("http.response.status_code").unwrap_or_default().to_owned())
    });
    for (key, value) in &exchange.attributes {
        put(key, value.clone());
    }
    if let Some(error) = error {
        put("error.type", error);
    }
    let failed = exchange.failed || is_refused;
    let row = v1::SpanRow {
        ts: unix_ns(exchange.start_ns, boot_to_unix_ns),
        duration_ns: exchange.end_ns.saturating_sub(exchange.start_ns),
        trace_id: hex(&context.trace_id),
        span_id: hex(&context.span_id),
        parent_span_id: context.parent.map(|parent| hex(&parent)).unwrap_or_default(),
        name: exchange.name,
        kind: if ends.is_client { "client" } else { "server" }.to_owned(),
        status: if failed { "error" } else { "" }.to_owned(),
        source: SOURCE.to_owned(),
        attributes,
        ..v1::SpanRow::default()
    };
    Sample { owner: Owner::Workload(ends.owner), row: Row::Span(Box::new(row)) }
}

/// A confidence as attributes have it: `0.95`, `0.6`.
pub fn shown(confidence: f64) -> String {
    format!("{}", (confidence * 100.0).round() / 100.0)
}

/// Whether a request failed, as the owner of this end sees it.
pub fn failed(exchange: &Exchange, is_client: bool) -> bool {
    exchange.failed || is_client && is_client_error(exchange)
}

/// A client takes an HTTP status from 400 on for an error, and every code of gRPC but OK.
fn is_client_error(exchange: &Exchange) -> bool {
    let status =
        exchange.attribute("http.response.status_code").and_then(|status| status.parse::<u16>().ok());
    let code = exchange.attribute("rpc.grpc.status_code");
    status.is_some_and(|status| status >= 400) || code.is_some_and(|code| code != "0")
}

fn between(ends: &Ends) -> BTreeMap<String, String> {
    let Ends { is_client, local, peer, transport, tgid, is_encrypted, .. } = *ends;
    let (client, server) = if is_client { (local, peer) } else { (peer, local) };
    let mut attributes = BTreeMap::new();
    let mut put = |key: &str, value: String| {
        attributes.insert(key.to_owned(), value);
    };
    put("wake.connection", format!("{client}>{server}"));
    put("network.transport", transport.to_owned());
    put("network.type", if matches!(peer.ip(), IpAddr::V4(_)) { "ipv4" } else { "ipv6" }.to_owned());
    put("network.local.address", local.ip().to_string());
    put("network.local.port", local.port().to_string());
    put("network.peer.address", peer.ip().to_string());
    put("network.peer.port", peer.port().to_string());
    put("server.address", server.ip().to_string());
    put("server.port", server.port().to_string());
    if !is_client {
        put("client.address", client.ip().to_string());
        put("client.port", client.port().to_string());
    }
    put("process.pid", tgid.to_string());
    if is_encrypted {
        put("tls.established", "true".to_owned());
    }
    attributes
}
