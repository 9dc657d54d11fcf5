//! Sealing log rows: by namespace and workload, then as they came; bodies to `body.bin`, the rest to `data.parquet`.
//!
//! Rows of a batch come pod by pod, each pod's in time order. Left so, a row's position, pod and node follow from the row
//! before, and cost next to nothing; sorted by time, what they say is lost and must be stored.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parquet::arrow::ArrowWriter;

use super::files::{Checked, Draft};
use super::io;
use crate::rows::{Chunk, LogRows, OriginMap};
use crate::segment::{
    BODY, BodyWriter, DATA, Entry, FileEntry, NamespaceRows, PATTERNS, PatternCounts, Run, SKETCH,
    SketchBuilder, TENANT, Version, Written, hour_folder, stored, stored_schema, writer_properties,
};
use crate::state::Shared;
use crate::{SealError, Table};

const HOUR_NS: i64 = 3_600_000_000_000;
/// Rows whose columns are made at once.
const SLICE: usize = 16_384;

/// A row on its way: its stream, time, position, and where it lies.
#[derive(Clone, Copy, Debug)]
struct Row {
    stream: u32,
    ts: i64,
    lsn: i64,
    chunk: u32,
    row: u32,
}

/// Writes one segment per hour that the rows fall into, and adds each to `entries` once it is placed.
pub(super) fn write(
    shared: &Shared,
    chunks: &[Arc<Chunk>],
    through: i64,
    now_ns: i64,
    entries: &mut Vec<Entry>,
) -> Result<(), SealError> {
    let chunks: Vec<&LogRows> = chunks
        .iter()
        .filter_map(|chunk| match &**chunk {
            Chunk::Log(rows) => Some(&**rows),
            Chunk::Rows(_) => None,
        })
        .collect();
    let origins = OriginMap::new(&chunks);
    let streams = Streams::new(&origins);
    let mut hours: BTreeMap<i64, Vec<Row>> = BTreeMap::new();
    for (chunk, rows) in (0..).zip(&chunks) {
        for row in 0..u32::try_from(rows.len()).unwrap_or(u32::MAX) {
            let (ts, lsn) = (rows.ts[row as usize], rows.lsn[row as usize]);
            let stream = streams.of_origin[origins.origin(&chunks, (chunk, row)) as usize];
            hours.entry(ts.div_euclid(HOUR_NS)).or_default().push(Row { stream, ts, lsn, chunk, row });
        }
    }
    for (hour, mut rows) in hours {
        // chunks come in the order of their positions, which this sort makes use of
        rows.sort_by_key(|row| (row.stream, row.lsn));
        let id = format!("{through:012x}-{:x}", now_ns.max(0));
        let job = Job { shared, chunks: &chunks, origins: &origins, streams: &streams };
        entries.push(job.write(id, hour, &rows)?);
    }
    Ok(())
}

/// (namespace, workload) pairs in order, and which of them each origin belongs to.
struct Streams {
    names: Vec<(String, String)>,
    of_origin: Vec<u32>,
}

impl Streams {
    fn new(origins: &OriginMap) -> Self {
        let name = |identity: &proto::v1::Identity| (identity.namespace.clone(), identity.workload.clone());
        let mut names: Vec<_> = origins.origins.iter().map(|origin| name(&origin.identity)).collect();
        names.sort_unstable();
        names.dedup();
        let ranks: HashMap<&(String, String), u32> = names.iter().zip(0..).collect();
        let of_origin = origins.origins.iter().map(|origin| ranks[&name(&origin.identity)]).collect();
        Self { of_origin, names }
    }
}

struct Job<'a> {
    shared: &'a Shared,
    chunks: &'a [&'a LogRows],
    origins: &'a OriginMap,
    streams: &'a Streams,
}

impl Job<'_> {
    fn write(&self, id: String, hour: i64, rows: &[Row]) -> Result<Entry, SealError> {
        let path = hour_folder(Table::Log, hour.saturating_mul(HOUR_NS)).join(&id);
        let draft = Draft::new(self.shared, format!("log-{hour}-{id}"))?;
        let mut files = vec![self.columns(&draft, rows)?];
        let Written { out, runs, text_bytes, patterns } = self.bodies(&draft, rows)?;
        files.push(out.finish(BODY).map_err(io("sync", &draft.folder.join(BODY)))?);
        files.push(self.sketch(&draft, rows)?);
        if let Some(patterns) = patterns {
            files.push(write_patterns(&draft, &patterns)?);
        }
        let entry = Entry {
            version: crate::segment::VERSION,
            id,
            table: Table::Log.name().to_owned(),
            tenant: TENANT.to_owned(),
            level: 0,
            path: path.to_string_lossy().into_owned(),
            files,
            rows: rows.len() as u64,
            text_bytes,
            min_ts: rows.iter().map(|row| row.ts).min().unwrap_or(0),
            max_ts: rows.iter().map(|row| row.ts).max().unwrap_or(0),
            min_lsn: rows.iter().map(|row| row.lsn).min().unwrap_or(0),
            max_lsn: rows.iter().map(|row| row.lsn).max().unwrap_or(0),
            namespaces: namespaces(&runs),
            replaces: Vec::new(),
            written_by: crate::segment::this_release(),
        };
        draft.place(&entry)?;
        Ok(entry)
    }

    fn columns(&self, draft: &Draft<'_>, rows: &[Row]) -> Result<crate::segment::FileEntry, SealError> {
        let path = draft.folder.join(DATA);
        let schema = Table::Log.file_schema();
        let failed = |source| SealError::Columns { path: path.clone(), source };
        let file = draft.create(DATA)?;
        let properties = writer_properties(Table::Log, rows.len());
        let mut writer = ArrowWriter::try_new(file, stored_schema(), Some(properties)).map_err(failed)?;
        let mut order = Vec::with_capacity(SLICE);
        for slice in rows.chunks(SLICE) {
            order.clear();
            order.extend(slice.iter().map(|row| (row.chunk, row.row)));
            let gathered = self.origins.gather(self.chunks, &order);
            let batch = gathered.columns(&schema, None).and_then(|batch| stored(&batch));
            let batch = batch.map_err(|source| SealError::Arrange { table: Table::Log.name(), source })?;
            writer.write(&batch).map_err(failed)?;
        }
        let file = writer.into_inner().map_err(failed)?;
        file.finish(DATA).map_err(io("sync", &path))
    }

    fn bodies(&self, draft: &Draft<'_>, rows: &[Row]) -> Result<Written<Checked>, SealError> {
        let path = draft.folder.join(BODY);
        let failed = || io("write", &path);
        let mut patterns = PatternCounts::default();
        let origins = self.origins.origins.iter();
        let versions: Vec<Version> = origins.map(|origin| patterns.versions.place(&origin.version)).collect();
        let mut writer =
            BodyWriter::new(draft.create(BODY)?, &self.shared.encoder, Some(patterns)).map_err(failed())?;
        let mut stream = None;
        for row in rows {
            if stream != Some(row.stream) {
                stream = Some(row.stream);
                let (namespace, workload) = &self.streams.names[row.stream as usize];
                writer.start_run(namespace, workload).map_err(failed())?;
            }
            let body = self.chunks[row.chunk as usize].bodies.get(row.row as usize);
            let origin = self.origins.origin(self.chunks, (row.chunk, row.row));
            writer.push(body, row.ts, versions[origin as usize]).map_err(failed())?;
        }
        writer.finish().map_err(failed())
    }

    fn sketch(&self, draft: &Draft<'_>, rows: &[Row]) -> Result<crate::segment::FileEntry, SealError> {
        let path = draft.folder.join(SKETCH);
        let mut sketch = SketchBuilder::default();
        for row in rows {
            let origin = self.origins.origin(self.chunks, (row.chunk, row.row));
            let bytes = self.chunks[row.chunk as usize].bodies.range(row.row as usize).len();
            sketch.add(origin, row.ts, bytes);
        }
        let mut file = draft.create(SKETCH)?;
        let written = sketch.write(&self.origins.origins, &mut file);
        written.map_err(|source| SealError::Columns { path: path.clone(), source })?;
        file.finish(SKETCH).map_err(io("sync", &path))
    }
}

/// Writes what kinds of lines a segment has.
pub(crate) fn write_patterns(draft: &Draft<'_>, patterns: &PatternCounts) -> Result<FileEntry, SealError> {
    let path = draft.folder.join(PATTERNS);
    let mut file = draft.create(PATTERNS)?;
    patterns.write(&mut file).map_err(|source| SealError::Columns { path: path.clone(), source })?;
    file.finish(PATTERNS).map_err(io("sync", &path))
}

/// Where the rows of each namespace lie, after runs in row order.
pub(crate) fn namespaces(runs: &[Run]) -> Vec<NamespaceRows> {
    let mut namespaces: Vec<NamespaceRows> = Vec::new();
    for run in runs {
        match namespaces.last_mut() {
            Some(last) if last.namespace == run.namespace => last.rows += u64::from(run.rows),
            _ => namespaces.push(NamespaceRows {
                namespace: run.namespace.clone(),
                first_row: u64::from(run.first_row),
                rows: u64::from(run.rows),
            }),
        }
    }
    namespaces
}
