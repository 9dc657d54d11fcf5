//! What HTTP/1 and HTTP/2 have in common: heads to attributes of a span.
//!
//! Of the headers only `host`, `traceparent`, `x-request-id`, `content-type` (for gRPC) and `grpc-status` are read;
//! no other value is kept. An exchange has failed from status 500 on; a client's caller counts from 400.

use super::{Exchange, Protocol, path, trace};
use crate::requests::number::Number;

/// Methods that are names of their own; others are `_OTHER`, as the conventions have it.
const METHODS: [&str; 10] =
    ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY"];

/// Bytes of a route that have room from the begin.
const USUAL_ROUTE: usize = 128;
/// Bytes of a host's name.
const MAX_HOST: usize = 253;

/// Puts method and path in.
pub(super) fn request_line(exchange: &mut Exchange, method: Option<&[u8]>, target: Option<&[u8]>) {
    let known =
        method.map(|method| METHODS.into_iter().find(|known| known.as_bytes() == method).unwrap_or("_OTHER"));
    if let Some(method) = known {
        exchange.attributes.push("http.request.method", method);
    }
    let verb = match known {
        None | Some("_OTHER") => "HTTP",
        Some(method) => method,
    };
    let tunnel = known == Some("CONNECT");
    match target {
        Some(target) if !tunnel => {
            let mut name = String::with_capacity(verb.len() + 1 + target.len().min(USUAL_ROUTE));
            name.push_str(verb);
            name.push(' ');
            path::route_to(target, &mut name);
            let route = name.get(verb.len() + 1..).unwrap_or_default();
            exchange.attributes.push("url.path", route);
            exchange.attributes.push("http.route", route);
            exchange.name = name;
        }
        _ => exchange.name = verb.to_owned(),
    }
}

/// Puts one header of the request in; the name in any case.
pub(super) fn request_header(exchange: &mut Exchange, name: &[u8], value: &[u8]) {
    if name.eq_ignore_ascii_case(b"host") || name == b":authority" {
        host(exchange, value);
    } else if name.eq_ignore_ascii_case(b"traceparent") {
        exchange.trace = exchange.trace.or_else(|| trace::parent(value));
    } else if name.eq_ignore_ascii_case(b"x-request-id")
        && let Some(id) = trace::request_id(value)
    {
        exchange.attributes.set("http.request.header.x-request-id", id);
    }
}

/// Puts the status in, and whether it is a failure of the server.
pub(super) fn status(exchange: &mut Exchange, status: u16) {
    let number = Number::of(u64::from(status));
    match exchange.http_status.replace(status) {
        None => exchange.attributes.push("http.response.status_code", number.as_str()),
        Some(_) => exchange.attributes.set("http.response.status_code", number.as_str()),
    }
    if status >= 500 {
        exchange.failed = true;
        exchange.error_type = Some(status.to_string());
    }
}

/// gRPC: the path is the service and its method.
pub(super) fn grpc(exchange: &mut Exchange, target: Option<&[u8]>) {
    exchange.protocol = Protocol::Grpc;
    exchange.attributes.remove(&["url.path", "http.route"]);
    exchange.attributes.set("rpc.system", "grpc");
    let name = target.and_then(|target| {
        let (service, method) = str::from_utf8(target).ok()?.strip_prefix('/')?.split_once('/')?;
        (is_name(service) && is_name(method)).then_some((service, method))
    });
    exchange.name = match name {
        Some((service, method)) => {
            exchange.attributes.set("rpc.service", service);
            exchange.attributes.set("rpc.method", method);
            format!("{service}/{method}")
        }
        None => "gRPC".to_owned(),
    };
}

/// Codes of gRPC by their number; a server failed with those that the conventions name.
pub(super) fn grpc_status(exchange: &mut Exchange, value: &[u8]) {
    let Some(code) = str::from_utf8(value).ok().and_then(|code| code.trim().parse::<u8>().ok()) else {
        return;
    };
    exchange.attributes.set("rpc.grpc.status_code", &code.to_string());
    if code == 0 {
        return;
    }
    let name = GRPC_CODES.get(usize::from(code)).copied();
    exchange.error_type = Some(name.map_or_else(|| code.to_string(), str::to_owned));
    exchange.failed = matches!(code, 2 | 4 | 12 | 13 | 14 | 15) || name.is_none();
}

const GRPC_CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

fn host(exchange: &mut Exchange, value: &[u8]) {
    let value = value.trim_ascii();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:[]".contains(byte);
    if value.is_empty() || value.len() > MAX_HOST + 6 || !value.iter().all(plain) {
        return;
    }
    let Ok(text) = str::from_utf8(value) else { return };
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() && (!name.contains(':') || name.ends_with(']')) => {
            (name, Some(port))
        }
        _ => (text, None),
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    if name.is_empty() {
        return;
    }
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        exchange.server(&name.to_ascii_lowercase(), port);
    } else {
        exchange.server(name, port);
    }
}

/// A name of a service or method as protobuf has it.
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    !text.is_empty()
        && text.len() <= 128
        && text.bytes().all(plain)
        && !text.starts_with(|first: char| first.is_ascii_digit())
}
