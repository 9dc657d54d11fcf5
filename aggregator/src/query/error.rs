//! Why a query was not answered: one typed code each, and where in the text the mistake is.

use std::time::Duration;

use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use proto::error::ErrorCode;
use store::ScanError;

/// A place in the text of a query, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: u64,
    /// Column, characters.
    pub column: u64,
}

/// A query that was not answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The text cannot be understood, or names what is not there.
    #[error("{message}")]
    Invalid {
        /// What is wrong.
        message: String,
        /// Where.
        place: Option<Place>,
    },
    /// The text is longer than any query needs.
    #[error("the query has {found} {unit}, at most {limit} are read")]
    TooLong {
        /// How many.
        found: usize,
        /// Of what.
        unit: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The time limit passed.
    #[error("the query took longer than {} s", limit.as_secs_f64())]
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// The memory limit was reached.
    #[error("the query needs more memory than it may have: {0}")]
    Memory(String),
    /// As many queries run and wait as may.
    #[error("{running} queries run and {waiting} wait already")]
    Busy {
        /// Running.
        running: usize,
        /// Waiting.
        waiting: usize,
    },
    /// The process is stopping.
    #[error("the aggregator is stopping")]
    Stopping,
    /// The store cannot be read.
    #[error("scan the store")]
    Scan(#[source] ScanError),
    /// A defect of Wake's own.
    #[error("run the query: {0}")]
    Internal(String),
}

impl QueryError {
    /// The code that the caller sees.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Invalid { .. } => ErrorCode::Invalid,
            Self::TooLong { .. } => ErrorCode::TooLarge,
            Self::Timeout { .. } => ErrorCode::Timeout,
            Self::Memory(_) => ErrorCode::Memory,
            Self::Busy { .. } => ErrorCode::Busy,
            Self::Stopping => ErrorCode::Unavailable,
            Self::Scan(ScanError::UnknownColumn(_) | ScanError::Incomparable { .. }) => ErrorCode::Invalid,
            Self::Scan(_) | Self::Internal(_) => ErrorCode::Internal,
        }
    }

    /// A mistake without a place.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), place: None }
    }

    /// What DataFusion says, by who can mend it.
    pub(crate) fn from_engine(error: DataFusionError) -> Self {
        let place = error
            .diagnostic()
            .and_then(|diagnostic| diagnostic.span)
            .map(|span| Place { line: span.start.line, column: span.start.column });
        let invalid = |message: String| {
            let message = first_sentence(&message);
            let place = place.or_else(|| place_in(&message));
            Self::Invalid { message, place }
        };
        match error.find_root() {
            DataFusionError::ResourcesExhausted(detail) => Self::Memory(first_sentence(detail)),
            DataFusionError::External(cause) => match cause.downcast_ref::<ScanError>() {
                Some(ScanError::UnknownColumn(name)) => invalid(format!("no column {name}")),
                Some(cause) => Self::Internal(cause.to_string()),
                // A library's refusal of what the query gave it, such as a regular expression.
                None => invalid(cause.to_string()),
            },
            DataFusionError::SQL(cause, _) => match cause.as_ref() {
                ParserError::TokenizerError(text) | ParserError::ParserError(text) => invalid(text.clone()),
                ParserError::RecursionLimitExceeded => invalid(String::from("the query nests too deeply")),
            },
            DataFusionError::ExecutionJoin(cause) => Self::Internal(cause.to_string()),
            DataFusionError::IoError(cause) => Self::Internal(cause.to_string()),
            DataFusionError::ArrowError(cause, _) => match cause.as_ref() {
                ArrowError::ExternalError(inner) => Self::Internal(inner.to_string()),
                ArrowError::IoError(detail, _) => Self::Internal(detail.clone()),
                ArrowError::MemoryError(detail) => Self::Memory(detail.clone()),
                other => invalid(other.to_string()),
            },
            // A query that the engine cannot plan or run is the query's fault as far as its author can act on it.
            root => invalid(root.strip_backtrace()),
        }
    }
}

/// What the engine puts before its messages: whose error it is says nothing to who asked.
const PREFIXES: [&str; 4] = ["Error during planning: ", "Schema error: ", "Execution error: ", "SQL error: "];

/// The engine's messages carry backtraces and pleas to report a bug; the first paragraph says it.
fn first_sentence(message: &str) -> String {
    let mut message = message;
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| message.strip_prefix(prefix)) {
        message = rest;
    }
    let end = ["\n\nbacktrace", ".\nThis issue was likely", "\nbacktrace", "\n\nUnderlying"]
        .iter()
        .filter_map(|mark| message.find(mark))
        .min()
        .unwrap_or(message.len());
    message[..end].trim().replace("wake.public.", "")
}

/// The parser writes places as `Line: 1, Column: 15`.
fn place_in(message: &str) -> Option<Place> {
    let rest = &message[message.find("Line: ")? + 6..];
    let (line, rest) = rest.split_once(", Column: ")?;
    let column: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some(Place { line: line.parse().ok()?, column: column.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::{Place, first_sentence, place_in};

    #[test]
    fn a_place_is_read_from_the_parsers_message() {
        let place = place_in("Expected: an expression, found: FROM at Line: 2, Column: 15");
        assert_eq!(place, Some(Place { line: 2, column: 15 }));
        assert_eq!(place_in("Line: x, Column: 1"), None);
        assert_eq!(place_in("nothing"), None);
    }

    #[test]
    fn pleas_to_report_a_bug_are_cut() {
        assert_eq!(
            first_sentence("Error during planning: table 'wake.public.x' not found"),
            "table 'x' not found"
        );
        assert_eq!(first_sentence("no such thing.\nThis issue was likely caused by a bug"), "no such thing");
    }
}
