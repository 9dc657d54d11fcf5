//! `GET /logs`: lines by what they say; `GET /logs/histogram`: how many, by time.

use std::time::Duration;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use futures::StreamExt as _;
use serde_json::{Map, Value};
use store::{HistogramBy, HistogramRequest, LogRequest, RequestError, Table};

use crate::api::answer::{Answer, Body};
use crate::api::error::{ApiError, ErrorBody};
use crate::api::openapi::{LogCount, LogLine, LogParams, RangeParams, Rows};
use crate::api::params::{Params, Range};
use crate::api::{Api, json};
use crate::base64;
use crate::query::error::QueryError;
use crate::query::gap;
use crate::query::reason::{Reason, ReasonCode};
use crate::query::session::{Session, Take};

const MINUTE_NS: i64 = 60_000_000_000;
/// Buckets of a histogram whose step is not given, at most.
const BUCKETS: i64 = 120;

/// Log lines by what they say, newest first.
///
/// Every condition must hold. Matching is exact and on bytes; `body` shows what is not UTF-8 as U+FFFD and then
/// `body_raw` has it in base64. Without `from`, everything that is kept is searched.
#[utoipa::path(
    get,
    path = "/api/v1/logs",
    tag = "logs",
    params(RangeParams, LogParams, ("limit" = Option<u64>, Query, description = "Lines, newest first")),
    responses((status = 200, body = Rows<LogLine>), (status = "default", body = ErrorBody))
)]
pub(crate) async fn search(api: Api, mut params: Params) -> Result<Body, ApiError> {
    let range = params.range(0)?;
    let limits = api.0.limits;
    let limit = params.number("limit", limits.default_log_lines, limits.max_log_lines)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let request = LogRequest { limit: Some(limit), newest_first: true, ..request(&mut params, range)? };
    params.end()?;
    api.answer("logs", move |session| async move {
        let mut answer = Answer::objects(limit);
        lines(&session, request, &mut answer).await?;
        gap::note(&session, range.ns(), &[Table::Log]).await?;
        Ok(answer.end(&session.reasons.list()))
    })
    .await
}

/// The conditions that all log endpoints take.
pub(crate) fn request(params: &mut Params, range: Range) -> Result<LogRequest, ApiError> {
    let bytes = |texts: Vec<String>| texts.into_iter().map(String::into_bytes).collect::<Vec<_>>();
    Ok(LogRequest {
        from_ns: range.from_ns,
        to_ns: range.to_ns,
        contains: bytes(params.all("contains")),
        words: bytes(params.all("word")),
        regexes: params.regexes("regex")?,
        excludes: bytes(params.all("exclude")),
        ignore_case: params.flag("ignore_case")?,
        equals: params.wheres()?,
        ..LogRequest::default()
    })
}

/// What the store says of a request that it does not understand.
pub(crate) fn refused(error: &RequestError) -> ApiError {
    match error {
        RequestError::Regex { position, .. } => {
            ApiError::parameter("regex", position.unwrap_or_default(), &error.to_string())
        }
        RequestError::Condition(_) => ApiError::parameter("where", 0, &error.to_string()),
        RequestError::Step(_) | RequestError::Buckets(_) => {
            ApiError::parameter("step", 0, &error.to_string())
        }
        RequestError::Task(_) => QueryError::Internal(error.to_string()).into(),
    }
}

/// Writes the lines that match until there is no time left; then the answer says so.
pub(crate) async fn lines(
    session: &Session,
    request: LogRequest,
    answer: &mut Answer,
) -> Result<(), ApiError> {
    let mut rows = session.snapshot.logs(request).map_err(|error| refused(&error))?;
    loop {
        // A tenth is left to write the answer.
        let left = session.left().mul_f64(0.9);
        match tokio::time::timeout(left.max(Duration::from_millis(1)), rows.next()).await {
            Ok(None) => return Ok(()),
            Ok(Some(Ok(batch))) => {
                for line in objects(&batch) {
                    if answer.push(&line) == Take::Enough {
                        let detail = "the answer is cut at the most rows or bytes that one may have";
                        session.reasons.add(Reason::new(ReasonCode::RowLimit, detail));
                        return Ok(());
                    }
                }
            }
            Ok(Some(Err(error))) if error.is_partial() => session.reasons.add_scan(&error),
            Ok(Some(Err(error))) => return Err(QueryError::Scan(error).into()),
            Err(_elapsed) => {
                let detail = "the time limit passed; older lines were not looked at";
                session.reasons.add(Reason::new(ReasonCode::Timeout, detail));
                return Ok(());
            }
        }
    }
}

/// Log rows as objects, with `body_raw` where the body is not UTF-8.
pub(crate) fn objects(batch: &RecordBatch) -> Vec<Map<String, Value>> {
    let mut rows = json::objects(batch, &["lsn"]);
    let body = batch.column_by_name("body").and_then(|column| column.as_binary_opt::<i32>());
    let Some(body) = body else { return rows };
    for (index, row) in rows.iter_mut().enumerate() {
        if body.is_valid(index) && std::str::from_utf8(body.value(index)).is_err() {
            row.insert(String::from("body_raw"), Value::String(base64::encode(body.value(index))));
        }
    }
    rows
}

/// How many log lines there are, by time, and by level or workload.
///
/// Takes the same conditions as `/logs`. Without conditions on the text it is answered from what is counted already.
/// Buckets start at multiples of `step`; empty ones are left out. The last hour by default.
#[utoipa::path(
    get,
    path = "/api/v1/logs/histogram",
    tag = "logs",
    params(
        RangeParams,
        LogParams,
        ("by" = Option<String>, Query, description = "`level`, `workload` or `namespace`; time alone without"),
        ("step" = Option<String>, Query, description = "Width of a bucket: `30s`, `5m`, `1h`; `all` for one; fitting the range without"),
    ),
    responses((status = 200, body = Rows<LogCount>), (status = "default", body = ErrorBody))
)]
pub(crate) async fn histogram(api: Api, mut params: Params) -> Result<Body, ApiError> {
    let range = params.range(3_600)?;
    let logs = request(&mut params, range)?;
    let by = params.choice("by", &["level", "workload", "namespace"])?;
    let step_ns = match params.step()? {
        Step::All => None,
        Step::Ns(step) => Some(step),
        Step::Fitting => {
            Some(fitting(Range { to_ns: range.to_ns.min(api.now_ns().max(range.from_ns)), ..range }))
        }
    };
    params.end()?;
    let request = HistogramRequest {
        logs,
        step_ns,
        by: match by {
            Some("level") => HistogramBy::Level,
            Some("workload") => HistogramBy::Workload,
            Some("namespace") => HistogramBy::Namespace,
            _ => HistogramBy::Time,
        },
    };
    let max_rows = api.0.limits.max_rows;
    api.answer("logs_histogram", move |session| async move {
        let counts = session.snapshot.log_histogram(request).await.map_err(|error| refused(&error))?;
        counts.errors.iter().for_each(|error| session.reasons.add_scan(error));
        let mut answer = Answer::objects(max_rows);
        for bucket in counts.buckets {
            let mut row = Map::new();
            if step_ns.is_some() {
                row.insert(String::from("ts"), json::rfc3339(i128::from(bucket.start_ns)).into());
            }
            if let Some(by) = by {
                row.insert(by.to_owned(), bucket.key.into());
            }
            row.insert(String::from("count"), bucket.count.into());
            if answer.push(&row) == Take::Enough {
                let detail = "the answer is cut at the most rows or bytes that one may have";
                session.reasons.add(Reason::new(ReasonCode::RowLimit, detail));
                break;
            }
        }
        gap::note(&session, range.ns(), &[Table::Log]).await?;
        Ok(answer.end(&session.reasons.list()))
    })
    .await
}

/// The width of a histogram's buckets, as a request gives it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// One bucket for everything.
    All,
    /// This wide, ns.
    Ns(i64),
    /// As the range needs.
    Fitting,
}

impl Params {
    fn step(&mut self) -> Result<Step, ApiError> {
        if self.take_exact("step", "all") {
            return Ok(Step::All);
        }
        Ok(self.duration_ns("step")?.map_or(Step::Fitting, Step::Ns))
    }
}

/// A round step that gives at most `BUCKETS` buckets; whole minutes wherever they fit, which are counted already.
fn fitting(range: Range) -> i64 {
    let least = range.to_ns.saturating_sub(range.from_ns) / BUCKETS;
    let minutes = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1_440, 10_080, 43_200, 525_600];
    if least <= MINUTE_NS / 2 {
        let seconds = [1, 2, 5, 10, 15, 30];
        return seconds
            .into_iter()
            .map(|step| step * 1_000_000_000)
            .find(|step| *step >= least)
            .unwrap_or(MINUTE_NS);
    }
    let steps = minutes.into_iter().map(|step| step * MINUTE_NS);
    steps.into_iter().find(|step| *step >= least).unwrap_or(525_600 * MINUTE_NS)
}

#[cfg(test)]
mod tests {
    use super::{MINUTE_NS, fitting};
    use crate::api::params::Range;

    #[test]
    fn a_fitting_step_is_round_and_gives_few_buckets() {
        for (seconds, expected) in
            [(60, 1_000_000_000), (600, 5_000_000_000), (3_600, 30_000_000_000), (86_400, 15 * MINUTE_NS)]
        {
            let range = Range { from_ns: 0, to_ns: seconds * 1_000_000_000 };
            assert_eq!(fitting(range), expected, "{seconds}");
            assert!(range.to_ns / fitting(range) <= 120);
        }
        assert!(fitting(Range { from_ns: i64::MIN, to_ns: i64::MAX }) > 0);
    }
}
