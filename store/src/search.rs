//! Searching log lines: exact by bytes, newest first, ties by position.
//!
//! In: a request and a snapshot. Out: rows, or counts by time. Every path (bloom, prefilter, index) only ever leaves
//! out what cannot match; what is left is verified by [`Matcher::matches`], which defines what a match is.

mod block;
mod count;
mod field;
mod fields;
mod literals;
mod matcher;
mod patterns;
mod run;
mod token;

use arrow::datatypes::SchemaRef;

pub use count::{Histogram, HistogramBucket, HistogramBy, HistogramRequest};
pub(crate) use count::{HistogramPlan, MAX_BUCKETS, histogram};
pub use field::{FieldFormat, field};
pub(crate) use field::{Place as FieldPlace, is_inert, place, value as field_value};
pub use fields::FieldRequest;
pub(crate) use fields::{FieldPlan, count_fields};
pub(crate) use literals::Required;
pub(crate) use matcher::{Matcher, has_word};
pub(crate) use patterns::{Found, log_patterns, pattern_id, shown};
pub use patterns::{Pattern, PatternRequest, PatternVersion, Patterns};
pub(crate) use run::{passing, run};
pub(crate) use token::{MIN_TOKEN, is_token_byte, tokens};

use crate::scan::Filter;
use crate::snapshot::Stop;
use crate::table::log_schema;
use crate::{ScanError, Scope, Table};

/// What to look for in log lines. All conditions must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRequest {
    /// Rows at or after this time, ns.
    pub from_ns: i64,
    /// Rows before this time, ns.
    pub to_ns: i64,
    /// Byte strings that the body must contain.
    pub contains: Vec<Vec<u8>>,
    /// Byte strings that the body must contain as whole words: no letter, digit, `_` or non-ASCII byte beside a word's
    /// own such end.
    pub words: Vec<Vec<u8>>,
    /// Regexes that must match somewhere in the body.
    pub regexes: Vec<String>,
    /// Byte strings that the body must not contain.
    pub excludes: Vec<Vec<u8>>,
    /// Whether `contains`, `words`, `regexes` and `excludes` ignore case (Unicode simple folding).
    pub ignore_case: bool,
    /// Whether `regexes` look at bodies as they are shown, with U+FFFD for what is not UTF-8, and not at their bytes.
    pub as_shown: bool,
    /// Columns that must equal a value given as text; what is no column is a key of `attributes`. '' is absent.
    pub equals: Vec<(String, String)>,
    /// The most rows to yield. Without it rows come segment by segment, in no promised order.
    pub limit: Option<usize>,
    /// With a limit: the newest rows, newest first; else the oldest, oldest first.
    pub newest_first: bool,
    /// Only rows after this position: what came since the last answer.
    pub after_lsn: Option<i64>,
    /// With a limit: only rows that come after this one, (ts, lsn), in the answer's order.
    pub beyond: Option<(i64, i64)>,
    /// The columns that are wanted; all if `None`. The others may be left out, all but `ts` and `lsn`.
    pub columns: Option<Vec<String>>,
    /// Whose rows; the view's own scope narrows it.
    pub scope: Scope,
}

impl Default for LogRequest {
    fn default() -> Self {
        Self {
            from_ns: i64::MIN,
            to_ns: i64::MAX,
            contains: Vec::new(),
            words: Vec::new(),
            regexes: Vec::new(),
            excludes: Vec::new(),
            ignore_case: false,
            as_shown: false,
            equals: Vec::new(),
            limit: None,
            newest_first: true,
            after_lsn: None,
            beyond: None,
            columns: None,
            scope: Scope::All,
        }
    }
}

/// A log request that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// A regex does not parse, or is too large when compiled.
    #[error("regex {index}: {detail}")]
    Regex {
        /// Which one of the request's.
        index: usize,
        /// Where in it, bytes, if known.
        position: Option<usize>,
        /// Why.
        detail: String,
    },
    /// A condition cannot hold for its column.
    #[error(transparent)]
    Condition(ScanError),
    /// A histogram needs a positive step, and at most 100,000 of them.
    #[error("step: {0}")]
    Step(String),
    /// More buckets, of all keys together, than an answer may have.
    #[error("step: more than {0} buckets of all keys")]
    Buckets(usize),
    /// The counting task ended early.
    #[error("counting ended early: {0}")]
    Task(String),
}

/// A request that was understood.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) from_ns: i64,
    pub(crate) to_ns: i64,
    pub(crate) matcher: Matcher,
    /// Conditions; `column` counts in [`Self::keys`].
    pub(crate) filters: Vec<Filter>,
    /// The columns that decide: `ts`, `lsn`, then those of the conditions.
    pub(crate) keys: SchemaRef,
    pub(crate) limit: Option<usize>,
    pub(crate) newest_first: bool,
    pub(crate) after_lsn: i64,
    pub(crate) beyond: Option<(i64, i64)>,
    /// The columns of the answer, and those of them that are stored beside the body.
    pub(crate) answer: SchemaRef,
    pub(crate) stored: SchemaRef,
    /// Whether the keys are the answer, so that nothing else is read.
    pub(crate) keys_only: bool,
    /// Whether rows are only counted: where all of a segment's times are in range, no column of it is read.
    pub(crate) counts_only: bool,
    pub(crate) stop: Stop,
}

impl Plan {
    pub(crate) fn new(request: LogRequest) -> Result<Self, RequestError> {
        let matcher = Matcher::new(&request)?;
        let columns = request.columns.clone().filter(|columns| !columns.iter().any(|name| name == "body"));
        match columns {
            Some(columns) if request.limit.is_none() => {
                let more: Vec<&str> = columns.iter().map(String::as_str).collect();
                Ok(Self { keys_only: true, ..Self::with_columns(request, matcher, &more)? })
            }
            _ => Self::with_columns(request, matcher, &[]),
        }
    }

    /// The same, reading further columns with the keys.
    pub(crate) fn with_columns(
        request: LogRequest,
        matcher: Matcher,
        more: &[&str],
    ) -> Result<Self, RequestError> {
        let schema = log_schema();
        let mut filters = Vec::new();
        // what the body must be is the matcher's
        for (name, value) in request.equals.iter().filter(|(name, _)| name != "body") {
            let attribute = format!("attributes.{name}");
            let name = if schema.index_of(name).is_ok() { name } else { &attribute };
            filters.push(Filter::new(&schema, name, value).map_err(RequestError::Condition)?);
        }
        filters.extend(Filter::of_scope(&schema, &request.scope).map_err(RequestError::Condition)?);
        let find = |name: &str| schema.index_of(name).unwrap_or(0);
        let mut keys = vec![find("ts"), find("lsn")];
        keys.extend(filters.iter().map(|filter| filter.column));
        keys.extend(more.iter().map(|name| find(name)));
        keys.sort_unstable();
        keys.dedup();
        for filter in &mut filters {
            filter.column = keys.binary_search(&filter.column).unwrap_or(0);
        }
        let arrange = |error| RequestError::Condition(ScanError::Arrange(error));
        let keys = schema.project(&keys).map_err(arrange)?;
        let wanted = |name: &str| match &request.columns {
            Some(columns) => ["ts", "lsn"].contains(&name) || columns.iter().any(|column| column == name),
            None => true,
        };
        let answer: Vec<usize> =
            (0..schema.fields().len()).filter(|at| wanted(schema.field(*at).name())).collect();
        let answer = schema.project(&answer).map_err(arrange)?;
        let file = TABLE.file_schema();
        let stored: Vec<usize> =
            (0..file.fields().len()).filter(|at| wanted(file.field(*at).name())).collect();
        let stored = file.project(&stored).map_err(arrange)?;
        Ok(Self {
            from_ns: request.from_ns,
            to_ns: request.to_ns,
            matcher,
            filters,
            keys: std::sync::Arc::new(keys),
            limit: request.limit,
            newest_first: request.newest_first,
            after_lsn: request.after_lsn.unwrap_or(i64::MIN),
            beyond: request.beyond.filter(|_| request.limit.is_some()),
            answer: std::sync::Arc::new(answer),
            stored: std::sync::Arc::new(stored),
            keys_only: false,
            counts_only: false,
            stop: Stop::default(),
        })
    }

    /// The same for those who ask of no row where it came in.
    pub(crate) fn without_positions(mut self) -> Result<Self, RequestError> {
        if self.filters.iter().any(|filter| filter.name == "lsn") {
            return Ok(self);
        }
        let keys = self.keys.fields().iter().enumerate().filter(|(_, field)| field.name() != "lsn");
        let keys: Vec<usize> = keys.map(|(at, _)| at).collect();
        for filter in &mut self.filters {
            filter.column = keys.iter().position(|key| *key == filter.column).unwrap_or(0);
        }
        let keys = self.keys.project(&keys);
        self.keys =
            std::sync::Arc::new(keys.map_err(|error| RequestError::Condition(ScanError::Arrange(error)))?);
        self.after_lsn = i64::MIN;
        Ok(self)
    }

    /// Whether rows with this text in a dictionary column may match.
    pub(crate) fn may_be(&self, column: &str, text: &str) -> bool {
        self.filters.iter().all(|filter| filter.name != column || filter.may_be(text))
    }

    /// Whether a condition concerns this column.
    pub(crate) fn asks(&self, column: &str) -> bool {
        self.filters.iter().any(|filter| filter.name == column)
    }

    pub(crate) fn overlaps(&self, (oldest, newest): (i64, i64)) -> bool {
        newest >= self.from_ns && oldest < self.to_ns
    }
}

/// The table that is searched.
pub(crate) const TABLE: Table = Table::Log;
