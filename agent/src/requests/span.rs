//! An exchange as a row of the table `span`.
//!
//! Attributes are OpenTelemetry's, and three of our own: `wake.connection` (`client>server`, addresses and ports as the
//! owner's socket has them: with the span's start what joins both ends), `wake.join.confidence` and `wake.truncated`.

use std::net::SocketAddr;

use super::connection::Placed;
use super::number::Number;
use super::protocol::{Exchange, Protocol};
use crate::kernel::clock::unix_ns;
use crate::window::span::{Span, attribute_to, field};

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

/// What the spans of one connection have in common, written once.
#[derive(Debug, Default)]
pub struct Common {
    /// What `Ends` say, but for the server.
    all: Vec<u8>,
    /// The server's address and port, which a request may name otherwise.
    address: Vec<u8>,
    port: Vec<u8>,
}

impl Common {
    /// Bytes that it takes.
    pub fn memory(&self) -> usize {
        self.all.capacity() + self.address.capacity() + self.port.capacity()
    }

    fn of(ends: &Ends) -> Self {
        let Ends { is_client, local, peer, transport, tgid, is_encrypted, .. } = *ends;
        let (client, server) = if is_client { (local, peer) } else { (peer, local) };
        let mut common =
            Self { all: Vec::with_capacity(448), address: Vec::new(), port: Vec::with_capacity(32) };
        let mut put = |key: &str, value: &str| attribute_to(&mut common.all, key, value);
        let (at, from) = (local.ip().to_string(), peer.ip().to_string());
        let (port, peer_port) = (local.port().to_string(), peer.port().to_string());
        put("wake.connection", &format!("{client}>{server}"));
        put("network.transport", transport);
        put("network.type", if peer.is_ipv4() { "ipv4" } else { "ipv6" });
        put("network.local.address", &at);
        put("network.local.port", &port);
        put("network.peer.address", &from);
        put("network.peer.port", &peer_port);
        put("process.pid", &tgid.to_string());
        if is_encrypted {
            put("tls.established", "true");
        }
        if !is_client {
            put("client.address", &from);
            put("client.port", &peer_port);
        }
        let (address, port) = if is_client { (from, peer_port) } else { (at, port) };
        attribute_to(&mut common.address, "server.address", &address);
        attribute_to(&mut common.port, "server.port", &port);
        common
    }
}

/// Writes the row of an exchange; `boot_to_unix_ns` turns the kernel's stamps into wall time.
pub fn write(
    placed: &Placed,
    ends: &Ends,
    common: &mut Option<Box<Common>>,
    boot_to_unix_ns: i64,
    mut span: Span<'_>,
) {
    let Placed { exchange, context, confidence, thread } = placed;
    let common = common.get_or_insert_with(|| Box::new(Common::of(ends)));
    let duration_ns = exchange.end_ns.saturating_sub(exchange.start_ns);
    span.time(unix_ns(exchange.start_ns, boot_to_unix_ns), duration_ns);
    span.hex(field::TRACE_ID, &context.trace_id);
    span.hex(field::SPAN_ID, &context.span_id);
    if let Some(parent) = context.parent {
        span.hex(field::PARENT_SPAN_ID, &parent);
    }
    let is_refused = ends.is_client && is_client_error(exchange);
    span.text(field::NAME, &exchange.name);
    span.text(field::KIND, if ends.is_client { "client" } else { "server" });
    span.text(field::STATUS, if exchange.failed || is_refused { "error" } else { "" });
    span.text(field::SOURCE, SOURCE);
    span.attributes(&common.all);
    for (written, is_named) in [&common.address, &common.port].into_iter().zip(exchange.names_server) {
        if !is_named {
            span.attributes(written);
        }
    }
    if exchange.protocol == Protocol::Dns {
        // said with what all of the connection have in common
        for (key, value) in exchange.attributes.iter().filter(|(key, _)| *key != "network.transport") {
            span.attribute(key, value);
        }
    } else {
        span.attributes(exchange.attributes.written());
    }
    span.attribute("thread.id", Number::of(u64::from(thread.1)).as_str());
    if let Some(confidence) = confidence.filter(|_| context.parent.is_some()) {
        span.attribute("wake.join.confidence", &shown(confidence));
    }
    if exchange.truncated {
        span.attribute("wake.truncated", "true");
    }
    if exchange.at_least {
        span.attribute("wake.at_least", "true");
    }
    if let Some(first) = exchange.first_byte_ns {
        let micros = first.saturating_sub(exchange.start_ns) / 1_000;
        span.attribute("wake.first_byte_us", Number::of(micros).as_str());
    }
    let status = || exchange.attribute("http.response.status_code").unwrap_or_default();
    if let Some(error) = exchange.error_type.as_deref().or_else(|| is_refused.then(status)) {
        span.attribute("error.type", error);
    }
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
    if exchange.http_status.is_some_and(|status| status >= 400) {
        return true;
    }
    matches!(exchange.protocol, Protocol::Http2 | Protocol::Grpc)
        && exchange.attribute("rpc.grpc.status_code").is_some_and(|code| code != "0")
}
