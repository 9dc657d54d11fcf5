//! OTLP/HTTP: `POST /v1/logs`, `/v1/traces`, `/v1/metrics`; protobuf or JSON, plain, gzip or zstd.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use futures::StreamExt as _;
use store::Refused;

use crate::ingest::otlp::arrive::arrive;
use crate::ingest::otlp::receive::{Format, Packing, Request, receive, too_large};
use crate::ingest::otlp::rows::Rejected;
use crate::ingest::otlp::{Context, Signal, answer};

/// How much of a refused body is read and thrown away, and how long that may take: a connection closed over unread bytes
/// is reset, and the reset can overtake the answer that says why (RFC 9112, 9.6).
const DISCARD: (usize, Duration) = (64 << 20, Duration::from_secs(5));

/// The three endpoints.
pub(crate) fn router(context: Context) -> Router {
    let route = |signal| {
        post(move |State(context): State<Context>, headers: HeaderMap, body: Body| async move {
            export(&context, signal, &headers, body).await
        })
    };
    Router::new()
        .route("/v1/logs", route(Signal::Logs))
        .route("/v1/traces", route(Signal::Traces))
        .route("/v1/metrics", route(Signal::Metrics))
        .with_state(context)
}

async fn export(context: &Context, signal: Signal, headers: &HeaderMap, body: Body) -> Response {
    let mut body = body.into_data_stream();
    let response = response_to(context, signal, headers, &mut body).await;
    // who waits for a "100 Continue" has sent nothing, and reading would ask for it
    if !response.status().is_success() && !headers.contains_key(EXPECT) {
        let _elapsed = tokio::time::timeout(DISCARD.1, discard(&mut body)).await;
    }
    response
}

async fn discard(body: &mut BodyDataStream) {
    let mut left = DISCARD.0;
    while let Some(Ok(chunk)) = body.next().await {
        let Some(rest) = left.checked_sub(chunk.len()) else { return };
        left = rest;
    }
}

async fn response_to(
    context: &Context,
    signal: Signal,
    headers: &HeaderMap,
    body: &mut BodyDataStream,
) -> Response {
    let Some(format) = format(headers) else {
        let text = "Content-Type is neither application/x-protobuf nor application/json\n";
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response();
    };
    let outcome = match packing(headers) {
        Some(packing) => read_and_receive(context, (signal, format, packing), headers, body).await,
        None => {
            let text = "Content-Encoding is none of gzip, zstd and identity\n";
            return (StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response();
        }
    };
    respond(signal, format, outcome)
}

async fn read_and_receive(
    context: &Context,
    (signal, format, packing): (Signal, Format, Packing),
    headers: &HeaderMap,
    body: &mut BodyDataStream,
) -> Result<Rejected, Refused> {
    let scope = match context.senders.scope(headers).await {
        Ok(scope) => scope,
        Err(refused) => return refuse(context, refused),
    };
    let most = context.max_request_bytes;
    let announced = header(headers, &CONTENT_LENGTH).and_then(|text| text.parse().ok());
    if announced.is_some_and(|bytes: usize| bytes > most) {
        return refuse(context, too_large(most));
    }
    let arrived = async {
        let mut arrived = arrive(context, body, most).await?;
        if packing != Packing::Plain {
            // how large it gets is not known before
            arrived.reserve(context, most).await?;
        }
        Ok(arrived)
    };
    let (bytes, room) = match arrived.await {
        Ok(arrived) => arrived.into_parts(),
        Err(refused) => return refuse(context, refused),
    };
    let outcome = receive(context, Request { signal, format, packing, bytes, scope }).await;
    drop(room);
    outcome
}

fn refuse(context: &Context, refused: Refused) -> Result<Rejected, Refused> {
    context.metrics.refused(refused.code);
    Err(refused)
}

fn header<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn format(headers: &HeaderMap) -> Option<Format> {
    let kind = header(headers, &CONTENT_TYPE)?;
    match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/x-protobuf" | "application/protobuf" => Some(Format::Protobuf),
        "application/json" => Some(Format::Json),
        _ => None,
    }
}

fn packing(headers: &HeaderMap) -> Option<Packing> {
    match header(headers, &CONTENT_ENCODING).unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Some(Packing::Plain),
        "gzip" => Some(Packing::Gzip),
        "zstd" => Some(Packing::Zstd),
        _ => None,
    }
}

fn respond(signal: Signal, format: Format, outcome: Result<Rejected, Refused>) -> Response {
    let status = match &outcome {
        Ok(_) => StatusCode::OK,
        Err(refused) => StatusCode::from_u16(answer::http_status(refused.code))
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    };
    let (kind, body) = match (format, &outcome) {
        (Format::Protobuf, Ok(rejected)) => ("application/x-protobuf", answer::success(rejected)),
        (Format::Protobuf, Err(refused)) => ("application/x-protobuf", answer::failure(refused)),
        (Format::Json, Ok(rejected)) => ("application/json", answer::success_json(signal, rejected)),
        (Format::Json, Err(refused)) => ("application/json", answer::failure_json(refused)),
    };
    let mut response = (status, [(CONTENT_TYPE, kind)], body).into_response();
    if let Some(seconds) = outcome.err().as_ref().and_then(answer::retry_after_s) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
