//! Reads a recorded case: `case.json` beside `series.csv` or `series.csv.gz`.
//!
//! Out: a checked [`Case`], or an error that names the file, the row and the column. Fuzzed: no input panics.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};

use effects::case::{Case, CaseError, Change, ChangeKind, Entity, Pod, Series, Signal};
use serde::Deserialize;

/// What kept a case from being read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("read {path}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("parse {path}")]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("{path}: format {format} is not known, expected 1")]
    Format { path: PathBuf, format: i64 },
    #[error("{path}, row {row}, column {column}: {problem}")]
    Cell { path: PathBuf, row: usize, column: &'static str, problem: String },
    #[error("{path}")]
    Case { path: PathBuf, source: CaseError },
}

#[derive(Debug, Deserialize)]
struct RawCase {
    format: i64,
    case: String,
    step_seconds: i64,
    start: i64,
    end: i64,
    #[serde(default)]
    relative_signals: Vec<String>,
    workloads: Vec<String>,
    #[serde(default)]
    pods: Vec<RawPod>,
    #[serde(default)]
    edges: Vec<(String, String)>,
    changes: Vec<RawChange>,
}

#[derive(Debug, Deserialize)]
struct RawPod {
    id: String,
    workload: String,
    node: Option<String>,
    created: Option<f64>,
    deleted: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct RawChange {
    id: String,
    #[serde(deserialize_with = "kind")]
    kind: ChangeKind,
    workload: String,
    start: f64,
    end: Option<f64>,
    observe_until: f64,
    pods_new: Option<Vec<String>>,
    pods_old: Option<Vec<String>>,
}

/// The kind by its name, so that an unknown one is refused where it stands.
fn kind<'de, D: serde::Deserializer<'de>>(from: D) -> Result<ChangeKind, D::Error> {
    let name = String::deserialize(from)?;
    let found = ChangeKind::ALL.into_iter().find(|k| k.name() == name);
    found.ok_or_else(|| serde::de::Error::custom(format!("{name:?} is no kind of change")))
}

/// Reads the case in `dir`.
pub(crate) fn case(dir: &Path) -> Result<Case, ReadError> {
    let path = dir.join("case.json");
    let text = std::fs::read(&path).map_err(|source| ReadError::Io { path: path.clone(), source })?;
    let mut case = without_series(&path, &text)?;
    let zipped = dir.join("series.csv.gz");
    let plain = dir.join("series.csv");
    case.series = match std::fs::File::open(&zipped) {
        Ok(file) => rows(&zipped, &case, flate2::read::MultiGzDecoder::new(file))?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let open = std::fs::File::open(&plain);
            let file = open.map_err(|source| ReadError::Io { path: plain.clone(), source })?;
            rows(&plain, &case, file)?
        }
        Err(source) => return Err(ReadError::Io { path: zipped, source }),
    };
    case.check().map_err(|source| ReadError::Case { path: dir.to_owned(), source })
}

/// The same of a case that is in memory, plain.
pub(crate) fn bytes(json: &[u8], series: &[u8]) -> Result<Case, ReadError> {
    let path = Path::new("case.json");
    let mut case = without_series(path, json)?;
    case.series = rows(Path::new("series.csv"), &case, series)?;
    case.check().map_err(|source| ReadError::Case { path: path.to_owned(), source })
}

fn without_series(path: &Path, json: &[u8]) -> Result<Case, ReadError> {
    let raw: RawCase =
        serde_json::from_slice(json).map_err(|source| ReadError::Json { path: path.to_owned(), source })?;
    if raw.format != 1 {
        return Err(ReadError::Format { path: path.to_owned(), format: raw.format });
    }
    Ok(convert(raw))
}

fn convert(raw: RawCase) -> Case {
    let pods = raw.pods.into_iter().map(|p| Pod {
        id: p.id,
        workload: p.workload,
        node: p.node,
        created: p.created.map(|t| t as i64),
        deleted: p.deleted.map(|t| t as i64),
    });
    let changes = raw.changes.into_iter().map(|c| Change {
        id: c.id,
        kind: c.kind,
        workload: c.workload,
        start: c.start as i64,
        end: c.end.map(|t| t as i64),
        observe_until: c.observe_until as i64,
        pods_new: c.pods_new,
        pods_old: c.pods_old,
    });
    Case {
        id: raw.case,
        step_s: raw.step_seconds,
        span: (raw.start, raw.end),
        relative: raw.relative_signals.iter().filter_map(|s| Signal::named(s)).collect(),
        workloads: raw.workloads,
        pods: pods.collect(),
        edges: raw.edges,
        changes: changes.collect(),
        series: Vec::new(),
    }
}

/// The columns of a series file.
pub(super) const COLUMNS: [&str; 5] = ["time_unix_seconds", "entity_kind", "entity", "signal", "value"];

fn rows(path: &Path, case: &Case, input: impl Read) -> Result<Vec<Series>, ReadError> {
    let pods: BTreeSet<&str> = case.pods.iter().map(|p| p.id.as_str()).collect();
    let workloads: BTreeSet<&str> = case.workloads.iter().map(String::as_str).collect();
    let mut all: BTreeMap<(Entity, Signal), Vec<(i64, f64)>> = BTreeMap::new();
    for (i, line) in BufReader::new(input).lines().enumerate() {
        let line = line.map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
        let row = i + 1;
        let line = line.trim_end();
        if line.is_empty() {
            continue;
        }
        let bad = |column: usize, problem: String| ReadError::Cell {
            path: path.to_owned(),
            row,
            column: COLUMNS[column],
            problem,
        };
        let cells: Vec<&str> = line.split(',').collect();
        if row == 1 {
            if cells != COLUMNS {
                return Err(bad(0, format!("expected the header {}", COLUMNS.join(","))));
            }
            continue;
        }
        if cells.len() != COLUMNS.len() {
            return Err(bad(0, format!("{} cells, expected {}", cells.len(), COLUMNS.len())));
        }
        let time: f64 = cells[0].parse().map_err(|e| bad(0, format!("{:?}: {e}", cells[0])))?;
        let known = |id: &str| pods.contains(id) || workloads.contains(id);
        let entity = match cells[1] {
            "workload" if workloads.contains(cells[2]) => Entity::Workload(cells[2].to_owned()),
            "pod" if pods.contains(cells[2]) => Entity::Pod(cells[2].to_owned()),
            "node" => Entity::Node(cells[2].to_owned()),
            "edge" => match cells[2].split_once("->") {
                Some((from, to)) if known(from) && known(to) => Entity::Edge(from.to_owned(), to.to_owned()),
                _ => return Err(bad(2, format!("{:?} is no call between known ends", cells[2]))),
            },
            "workload" | "pod" => return Err(bad(2, format!("{:?} is not in case.json", cells[2]))),
            other => return Err(bad(1, format!("{other:?} is no kind of entity"))),
        };
        let signal = Signal::named(cells[3]).ok_or_else(|| bad(3, format!("{:?} is no signal", cells[3])))?;
        let value: f64 = cells[4].parse().map_err(|e| bad(4, format!("{:?}: {e}", cells[4])))?;
        if !time.is_finite() || time.abs() > 1e15 {
            return Err(bad(0, format!("{time} is no time in unix seconds")));
        }
        if !value.is_finite() {
            return Err(bad(4, format!("{value} is not a finite number; leave out what was not measured")));
        }
        if !effects::case::possible(signal, value) {
            return Err(bad(4, format!("{value} is no value that {} can have", signal.name())));
        }
        all.entry((entity, signal)).or_default().push((time as i64, value));
    }
    let series = all.into_iter();
    Ok(series.map(|((entity, signal), samples)| Series { entity, signal, samples }).collect())
}
