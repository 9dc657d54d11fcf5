//! Two exports of somebody's own monitoring become a case: `time,value` rows, or the answer of Prometheus's
//! `query_range`.

use std::path::{Path, PathBuf};

use effects::case::{Case, CaseError, Change, ChangeKind, Entity, Series, Signal};
use serde::Deserialize;

/// What kept an export from being read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error("read {path}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("parse {path} as a query_range answer")]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("{path}: Prometheus answered with an error: {message}")]
    Refused { path: PathBuf, message: String },
    #[error("{path} holds no series: the query matched nothing in that range")]
    Nothing { path: PathBuf },
    #[error("{path} is the answer of an instant query, one value without a past: ask query_range")]
    Instant { path: PathBuf },
    #[error("{path} holds {series} series, expected one: sum them in the query, or select one")]
    Several { path: PathBuf, series: usize },
    #[error("{path}, row {row}, column {column}: {text:?} is not {expected}")]
    Cell { path: PathBuf, row: usize, column: &'static str, text: String, expected: &'static str },
    #[error("{0:?} is no time: give RFC 3339 or Unix seconds")]
    Time(String),
    #[error("no sample in {0}")]
    Empty(String),
    #[error(transparent)]
    Case(#[from] CaseError),
}

/// After this long a change's effect can no longer be told from the next change.
const WATCHED_S: i64 = 2 * 3_600;
/// Unix milliseconds are larger than this, Unix seconds are not before the year 5138.
const MILLISECONDS: f64 = 1e11;

/// What times may look like.
const TIMES: &str = "a time with its zone (2026-11-20T14:05:00Z) or Unix seconds";

/// Unix seconds of a time as people write it.
pub(super) fn time(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse::<f64>() {
        let seconds = if number.abs() >= MILLISECONDS { number / 1e3 } else { number };
        return seconds.is_finite().then_some(seconds.floor() as i64);
    }
    text.trim().parse::<jiff::Timestamp>().ok().map(|t| t.as_second())
}

/// A case of one workload, one signal and one change, from exports of any order.
pub(super) fn case(
    files: &[PathBuf],
    change_at: &str,
    workload: &str,
    (signal, kind): (Signal, ChangeKind),
) -> Result<Case, ExportError> {
    let mut samples = Vec::new();
    for file in files {
        samples.extend(read(file, signal)?);
    }
    if samples.is_empty() {
        let names: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
        return Err(ExportError::Empty(names.join(", ")));
    }
    of(samples, change_at, workload, (signal, kind))
}

/// The same of one export that is in memory.
pub(crate) fn bytes(text: &str, change_at: &str) -> Result<Case, ExportError> {
    let samples = samples(Path::new("export"), text, Signal::Gauge)?;
    of(samples, change_at, "workload", (Signal::Gauge, ChangeKind::Rollout))
}

fn of(
    mut samples: Vec<(i64, f64)>,
    change_at: &str,
    workload: &str,
    (signal, kind): (Signal, ChangeKind),
) -> Result<Case, ExportError> {
    let start = time(change_at).ok_or_else(|| ExportError::Time(change_at.to_owned()))?;
    samples.sort_by_key(|s| s.0);
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return Err(ExportError::Empty("it".to_owned()));
    };
    let span = (first.0, last.0);
    let mut gaps: Vec<i64> = samples.windows(2).map(|w| w[1].0 - w[0].0).filter(|g| *g > 0).collect();
    gaps.sort_unstable();
    let step_s = gaps.get(gaps.len() / 2).copied().unwrap_or(60);
    let case = Case {
        id: workload.to_owned(),
        step_s,
        span,
        relative: std::collections::BTreeSet::new(),
        workloads: vec![workload.to_owned()],
        pods: Vec::new(),
        edges: Vec::new(),
        changes: vec![Change {
            id: format!("change at {change_at}"),
            kind,
            workload: workload.to_owned(),
            start,
            end: None,
            observe_until: span.1.clamp(start, start.saturating_add(WATCHED_S)),
            pods_new: None,
            pods_old: None,
        }],
        series: vec![Series { entity: Entity::Workload(workload.to_owned()), signal, samples }],
    };
    Ok(case.check()?)
}

/// What its reader should know of an export: whether its values look like those of a counter, which only rise but for
/// starting again.
pub(super) fn note(case: &Case) -> Option<&'static str> {
    // fewer may rise by chance
    const FEWEST: usize = 10;
    // of a counter that starts again more than once in twenty samples nothing is left
    const RESETS: usize = 20;
    let values: Vec<f64> = case.series.iter().flat_map(|s| &s.samples).map(|s| s.1).collect();
    let steps = || values.windows(2).map(|w| (w[0], w[1]));
    let falls = steps().filter(|(a, b)| b < a).count();
    let resets = steps().filter(|(a, b)| b < a && *b * 2.0 < *a).count();
    let rises = steps().filter(|(a, b)| b > a).count();
    let counts = falls == resets && resets * RESETS <= values.len() && rises * 2 >= values.len();
    (values.len() >= FEWEST && counts).then_some(
        "These values only rise, as those of a counter do. If it is one, its level says nothing: export its rate, \
         such as rate(NAME[2m]), and judge that.",
    )
}

fn read(path: &Path, signal: Signal) -> Result<Vec<(i64, f64)>, ExportError> {
    let bytes = std::fs::read(path).map_err(|source| ExportError::Io { path: path.to_owned(), source })?;
    let text = String::from_utf8_lossy(&bytes);
    samples(path, &text, signal)
}

/// The samples of an export that is in memory.
pub(super) fn samples(path: &Path, text: &str, signal: Signal) -> Result<Vec<(i64, f64)>, ExportError> {
    // spreadsheets begin a file with a byte order mark
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with(['{', '[']) { range(path, text, signal) } else { rows(path, text, signal) }
}

/// What people save of an answer: all of it, its `data`, or only its `result`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Saved {
    Result(Vec<Line>),
    Data(Data),
    Answer(Answer),
}

#[derive(Debug, Deserialize)]
struct Answer {
    data: Option<Data>,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Data {
    result: Vec<Line>,
}

#[derive(Debug, Deserialize)]
struct Line {
    values: Option<Vec<(f64, Value)>>,
}

/// Prometheus writes numbers as text, so that NaN has a form; other programs do not.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Number(f64),
}

fn range(path: &Path, text: &str, signal: Signal) -> Result<Vec<(i64, f64)>, ExportError> {
    let saved: Saved =
        serde_json::from_str(text).map_err(|source| ExportError::Json { path: path.to_owned(), source })?;
    let result = match saved {
        Saved::Result(result) | Saved::Data(Data { result }) => result,
        Saved::Answer(Answer { data: Some(data), .. }) => data.result,
        Saved::Answer(Answer { error, .. }) => {
            let message = error.unwrap_or_else(|| "it holds no data".to_owned());
            return Err(ExportError::Refused { path: path.to_owned(), message });
        }
    };
    let line = match &result[..] {
        [] => return Err(ExportError::Nothing { path: path.to_owned() }),
        [line] => line,
        several => return Err(ExportError::Several { path: path.to_owned(), series: several.len() }),
    };
    let values = line.values.as_ref().ok_or_else(|| ExportError::Instant { path: path.to_owned() })?;
    let mut samples = Vec::with_capacity(values.len());
    for (i, (time, value)) in values.iter().enumerate() {
        let number = match value {
            Value::Text(text) => number(path, i + 1, text, signal)?,
            Value::Number(value) => number(path, i + 1, &value.to_string(), signal)?,
        };
        // Prometheus writes NaN for "no value": that is a gap
        samples.extend(number.map(|v| (time.floor() as i64, v)));
    }
    Ok(samples)
}

fn rows(path: &Path, text: &str, signal: Signal) -> Result<Vec<(i64, f64)>, ExportError> {
    let mut samples = Vec::new();
    let first = text.lines().next().unwrap_or_default();
    let between = [',', ';', '\t'].into_iter().find(|c| first.contains(*c)).unwrap_or(',');
    let bare = |cell: &str| cell.trim().trim_matches('"').trim().to_owned();
    for (i, line) in text.lines().enumerate() {
        let cells: Vec<String> = line.split(between).map(bare).collect();
        // a head has no number where the values are
        let head = i == 0 && cells.get(1).is_none_or(|v| !v.is_empty() && v.parse::<f64>().is_err());
        if line.trim().is_empty() || (head && time(&cells[0]).is_none()) {
            continue;
        }
        let bad = |column, text: &str, expected| ExportError::Cell {
            path: path.to_owned(),
            row: i + 1,
            column,
            text: text.to_owned(),
            expected,
        };
        let [at, value] = &cells[..] else {
            return Err(bad("value", line, "a row of time,value"));
        };
        let at = time(at).ok_or_else(|| bad("time", at, TIMES))?;
        samples.extend(number(path, i + 1, value, signal)?.map(|v| (at, v)));
    }
    Ok(samples)
}

/// A finite number; `None` for a gap (empty, NaN).
fn number(path: &Path, row: usize, text: &str, signal: Signal) -> Result<Option<f64>, ExportError> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(v) if v.is_nan() => Ok(None),
        Ok(v) if effects::case::possible(signal, v) => Ok(Some(v)),
        _ => Err(ExportError::Cell {
            path: path.to_owned(),
            row,
            column: "value",
            text: text.to_owned(),
            expected: match (text.parse::<f64>(), signal.may_be_negative()) {
                (Err(_), _) => "a plain number (without a unit, with a decimal point)",
                (Ok(v), _) if v.is_infinite() => "finite: leave the cell empty where nothing was measured",
                (Ok(v), false) if v < 0.0 => "a value that this signal can have: it is never below zero",
                _ => "a value that this signal can have",
            },
        }),
    }
}

#[cfg(test)]
mod tests;
