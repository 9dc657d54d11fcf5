//! Spans of requests as OTLP traces.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;
use proto::v1;

use super::convert::{Request, TRACES, counted, scope};
use super::resource::{resource, text};

/// The spans of a payload; `None` without any.
pub(super) fn traces(payload: &v1::Payload) -> Option<Request> {
    let mut spans: BTreeMap<u32, Vec<Span>> = BTreeMap::new();
    for row in &payload.spans {
        spans.entry(row.identity).or_default().push(span(row));
    }
    let resource_spans: Vec<ResourceSpans> = spans
        .into_iter()
        .map(|(identity, spans)| ResourceSpans {
            resource: payload.identities.get(identity as usize).map(resource),
            scope_spans: vec![ScopeSpans { scope: Some(scope()), spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        })
        .collect();
    (!resource_spans.is_empty()).then(|| Request {
        path: TRACES,
        body: ExportTraceServiceRequest { resource_spans }.encode_to_vec(),
        rows: counted([("span", payload.spans.len())]),
        points: 0,
        losses: Vec::new(),
    })
}

fn span(row: &v1::SpanRow) -> Span {
    let kind = match row.kind.as_str() {
        "server" => SpanKind::Server,
        "client" => SpanKind::Client,
        _ => SpanKind::Unspecified,
    };
    let failed = || Status { code: StatusCode::Error.into(), ..Status::default() };
    Span {
        trace_id: bytes(&row.trace_id),
        span_id: bytes(&row.span_id),
        parent_span_id: bytes(&row.parent_span_id),
        name: row.name.clone(),
        kind: kind.into(),
        start_time_unix_nano: row.ts,
        end_time_unix_nano: row.ts.saturating_add(row.duration_ns),
        attributes: row.attributes.iter().map(|(key, value)| text(key, value)).collect(),
        status: (row.status == "error").then(failed),
        ..Span::default()
    }
}

/// An id as bytes; what is not hex is left out.
fn bytes(hex: &str) -> Vec<u8> {
    let pair = |pair: &[u8]| str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    hex.as_bytes().chunks(2).filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message as _;
    use proto::v1;

    use super::traces;

    #[test]
    fn a_span_keeps_its_ids_times_and_status() {
        let row = v1::SpanRow {
            ts: 5,
            duration_ns: 7,
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".into(),
            span_id: "00f067aa0ba902b7".into(),
            name: "GET /a".into(),
            kind: "server".into(),
            status: "error".into(),
            attributes: [("url.path".to_owned(), "/a".to_owned())].into(),
            ..v1::SpanRow::default()
        };
        let payload = v1::Payload {
            identities: vec![v1::Identity { workload: "cart".into(), ..Default::default() }],
            spans: vec![row],
            ..Default::default()
        };
        let request = traces(&payload).unwrap();
        assert_eq!((request.path, request.records()), ("/v1/traces", 1));
        let sent = ExportTraceServiceRequest::decode(request.body.as_slice()).unwrap();
        let span = &sent.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!((span.trace_id.len(), span.span_id[1], span.parent_span_id.len()), (16, 0xf0, 0));
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano, span.kind), (5, 12, 2));
        assert_eq!(span.status.as_ref().unwrap().code, 2);
        assert!(traces(&v1::Payload::default()).is_none());
    }
}
