//! Answers as OTLP writes them: partial successes, errors, and when to try again.

use bytes::Bytes;
use daemon::otlp::{Answer, PartialSuccess};
use proto::error::ErrorCode;
use serde_json::json;
use store::Refused;

use crate::ingest::otlp::Signal;
use crate::ingest::otlp::rows::Rejected;

/// `google.rpc.RetryInfo`
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// `google.rpc.Status`
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`
#[derive(Clone, PartialEq, prost::Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<Delay>,
}

/// `google.protobuf.Duration`
#[derive(Clone, PartialEq, prost::Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// The answer to a request that was taken, all of it or in part.
pub(super) fn success(rejected: &Rejected) -> Bytes {
    let partial_success = (rejected.records() > 0).then(|| PartialSuccess {
        rejected: i64::try_from(rejected.records()).unwrap_or(i64::MAX),
        message: rejected.describe(),
    });
    Bytes::from(prost::Message::encode_to_vec(&Answer { partial_success }))
}

/// The same as JSON.
pub(super) fn success_json(signal: Signal, rejected: &Rejected) -> Bytes {
    let key = match signal {
        Signal::Logs => "rejectedLogRecords",
        Signal::Traces => "rejectedSpans",
        Signal::Metrics => "rejectedDataPoints",
    };
    let answer = match rejected.records() {
        0 => json!({}),
        // 64-bit numbers are strings in OTLP/JSON
        records => json!({"partialSuccess": {key: records.to_string(), "errorMessage": rejected.describe()}}),
    };
    Bytes::from(answer.to_string())
}

/// Why a request was not taken, as `google.rpc.Status`.
pub(super) fn failure(refused: &Refused) -> Bytes {
    Bytes::from(prost::Message::encode_to_vec(&status(refused)))
}

/// The same as JSON.
pub(super) fn failure_json(refused: &Refused) -> Bytes {
    let Status { code, message, .. } = status(refused);
    Bytes::from(json!({ "code": code, "message": message }).to_string())
}

/// The HTTP status: of those that OTLP tries again (429, 502, 503, 504), if it may be tried again.
pub(super) fn http_status(code: ErrorCode) -> u16 {
    match code {
        ErrorCode::DiskFull => 503,
        code => code.http_status(),
    }
}

/// Seconds to wait, at least one.
pub(super) fn retry_after_s(refused: &Refused) -> Option<u64> {
    refused.code.is_retryable().then(|| refused.retry_after_ms.div_ceil(1_000).max(1))
}

/// The gRPC status, with `RetryInfo` where it may be tried again: without it clients give up on `RESOURCE_EXHAUSTED`.
pub(super) fn grpc_status(refused: &Refused) -> tonic::Status {
    let Status { message, .. } = status(refused);
    tonic::Status::with_details(refused.code.grpc_code(), message, failure(refused))
}

fn status(refused: &Refused) -> Status {
    let Refused { code, detail, retry_after_ms } = refused;
    let details = code.is_retryable().then(|| {
        let ms = (*retry_after_ms).max(100);
        let delay = Delay {
            seconds: i64::try_from(ms / 1_000).unwrap_or(i64::MAX),
            nanos: i32::try_from(ms % 1_000 * 1_000_000).unwrap_or(0),
        };
        let value = prost::Message::encode_to_vec(&RetryInfo { delay: Some(delay) });
        Detail { type_url: RETRY_INFO.to_owned(), value }
    });
    Status {
        code: i32::from(code.grpc_code()),
        message: format!("{}: {detail}", code.as_str()),
        details: details.into_iter().collect(),
    }
}
