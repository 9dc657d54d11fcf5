//! Errors of the API: `{"error":{"code","message","position"?}}` with the code's own HTTP status.

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use proto::error::ErrorCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::Denied;
use crate::query::error::QueryError;

/// A request that was not served.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    code: ErrorCode,
    message: String,
    position: Option<Position>,
}

/// What an endpoint answers when it does not serve the request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// The error.
    error: ErrorDetail,
}

/// Why a request was not served.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// `invalid`, `too_large`, `busy`, `unavailable`, `timeout`, `memory`, `not_found`,
    /// `unauthenticated`, `forbidden`, `disk_full` or `internal`.
    #[schema(example = "invalid")]
    code: &'static str,
    /// What is wrong, in words.
    message: String,
    /// Where the mistake is, when it is in the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
}

/// Where the mistake is: in a parameter, or in the text of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Position {
    /// The parameter's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
    /// Byte within the parameter, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<usize>,
    /// Line of the query, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// Column of the query, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u64>,
}

impl ApiError {
    /// The request cannot be understood.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Invalid, message)
    }

    /// Its code and message, for streams that have begun.
    pub(crate) fn parts(&self) -> (ErrorCode, &str) {
        (self.code, &self.message)
    }

    /// An error of this code.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), position: None }
    }

    /// A parameter cannot be understood; `message` follows its name.
    pub(crate) fn parameter(name: &str, offset: usize, message: &str) -> Self {
        let position =
            Position { parameter: Some(name.to_owned()), offset: Some(offset), ..Position::default() };
        Self {
            code: ErrorCode::Invalid,
            message: format!("parameter `{name}` {message}"),
            position: Some(position),
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let position = match &error {
            QueryError::Invalid { place: Some(place), .. } => {
                Some(Position { line: Some(place.line), column: Some(place.column), ..Position::default() })
            }
            _ => None,
        };
        Self { code: error.code(), message: crate::chain(&error), position }
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        Self::new(denied.code(), denied.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { code, message, position } = self;
        if code == ErrorCode::Internal {
            tracing::error!(error = %message, "request not served");
        }
        let status = StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = ErrorBody { error: ErrorDetail { code: code.as_str(), message, position } };
        let mut response = (status, Json(body)).into_response();
        // For the metrics.
        response.extensions_mut().insert(code);
        if code == ErrorCode::Unauthenticated {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if code.is_retryable() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
