//! Merging log segments: streams in order, within a stream the inputs one after the other.
//!
//! Every input has its streams in the same order, so each is read once from its first row to its last. Whole pages of
//! bodies are copied packed; where an input has few pages of a stream they are packed anew, so that small seals do not
//! leave small pages for ever.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;

use super::plan::Job;
use super::{MergeError, go_on, reading};
use crate::seal::{Checked, Draft, io, namespaces, write_patterns};
use crate::segment::{
    BODY, Batches, BodyFile, BodyWriter, DATA, Entry, FileEntry, MergedSketch, PatternCounts, SKETCH,
    Segment, Version, Written, stored, stored_schema, writer_properties,
};
use crate::state::Shared;
use crate::{SealError, Table};

/// Rows of a batch of columns.
const BATCH: usize = 4_096;
/// A run of fewer pages is packed anew.
const FEW_PAGES: usize = 3;

/// (namespace, workload) → for each input that has it, its place in the inputs and its rows there.
type Streams = BTreeMap<(String, String), Vec<(usize, Range<u32>)>>;

pub(super) fn merge(shared: &Shared, job: &Job, draft: &Draft<'_>) -> Result<Entry, MergeError> {
    let mut bodies = Vec::new();
    let mut streams = Streams::new();
    for (input, segment) in job.inputs.iter().enumerate() {
        let body = reading(segment, || segment.open_body())?;
        for run in body.runs() {
            let rows = run.first_row..run.first_row + run.rows;
            let stream = (run.namespace.clone(), run.workload.clone());
            streams.entry(stream).or_default().push((input, rows));
        }
        bodies.push(body);
    }
    let columns = columns(shared, job, draft, &streams)?;
    let Written { out, runs, text_bytes, .. } = merge_bodies(shared, job, draft, &streams, &bodies)?;
    let body = out.finish(BODY).map_err(io("sync", &draft.folder.join(BODY)))?;
    let mut files = vec![columns, body];
    files.extend(sketch(job, draft)?);
    files.extend(patterns(job, draft)?);
    let mut entry = job.entry(files);
    entry.text_bytes = text_bytes;
    entry.namespaces = namespaces(&runs);
    Ok(entry)
}

/// One input's columns, read from the first row to the last.
struct Cursor<'a> {
    segment: &'a Segment,
    reader: Batches,
    batch: Option<RecordBatch>,
}

impl<'a> Cursor<'a> {
    fn open(segment: &'a Segment) -> Result<Self, MergeError> {
        let reader = reading(segment, || {
            let file = segment.open_columns()?;
            let rows = 0..u32::try_from(segment.rows()).unwrap_or(u32::MAX);
            crate::segment::read(&file, &[rows], &Table::Log.file_schema(), BATCH)
        })?;
        Ok(Self { segment, reader, batch: None })
    }

    /// The next rows, at most so many.
    fn next(&mut self, most: usize) -> Result<RecordBatch, MergeError> {
        let Self { segment, reader, batch } = self;
        let whole = match batch.take() {
            Some(batch) => batch,
            None => reading(segment, || {
                let batch = reader.next().ok_or_else(|| std::io::Error::other("fewer rows than bodies"))?;
                let batch = batch.map_err(std::io::Error::other)?;
                crate::scan::project_by_name(&batch, &Table::Log.file_schema()).map_err(std::io::Error::other)
            })?,
        };
        if whole.num_rows() <= most {
            return Ok(whole);
        }
        self.batch = Some(whole.slice(most, whole.num_rows() - most));
        Ok(whole.slice(0, most))
    }
}

fn columns(
    shared: &Shared,
    job: &Job,
    draft: &Draft<'_>,
    streams: &Streams,
) -> Result<FileEntry, MergeError> {
    let path = draft.folder.join(DATA);
    let failed = |source| SealError::Columns { path: path.clone(), source };
    let rows: u64 = job.inputs.iter().map(|segment| segment.rows()).sum();
    let properties = writer_properties(Table::Log, usize::try_from(rows).unwrap_or(usize::MAX));
    let file = draft.create(DATA)?;
    let mut writer = ArrowWriter::try_new(file, stored_schema(), Some(properties)).map_err(failed)?;
    let mut cursors =
        job.inputs.iter().map(|segment| Cursor::open(segment)).collect::<Result<Vec<_>, _>>()?;
    for (input, rows) in streams.values().flatten() {
        let mut left = rows.len();
        while left > 0 {
            go_on(shared)?;
            let batch = cursors[*input].next(left)?;
            left -= batch.num_rows();
            let batch =
                stored(&batch).map_err(|source| SealError::Arrange { table: Table::Log.name(), source })?;
            writer.write(&batch).map_err(failed)?;
        }
    }
    let file = writer.into_inner().map_err(failed)?;
    Ok(file.finish(DATA).map_err(io("sync", &path))?)
}

fn merge_bodies(
    shared: &Shared,
    job: &Job,
    draft: &Draft<'_>,
    streams: &Streams,
    bodies: &[BodyFile],
) -> Result<Written<Checked>, MergeError> {
    let path = draft.folder.join(BODY);
    let failed = || io("write", &path);
    let mut writer = BodyWriter::new(draft.create(BODY)?, &shared.encoder, None).map_err(failed())?;
    let columns = job.inputs.iter().map(|segment| reading(segment, || segment.open_columns()));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    for ((namespace, workload), pieces) in streams {
        writer.start_run(namespace, workload).map_err(failed())?;
        for (input, rows) in pieces {
            let (segment, body) = (&job.inputs[*input], &bodies[*input]);
            let pages = reading(segment, || body.pages_of(std::slice::from_ref(rows)))?;
            let columns = &columns[*input];
            let times = |rows, some: Option<&[u32]>| crate::segment::times(columns, rows, some);
            for (page, _) in &pages {
                go_on(shared)?;
                if pages.len() > FEW_PAGES || body.is_full(*page) {
                    let packed = reading(segment, || body.packed_page(*page))?;
                    writer.copy_page(packed).map_err(failed())?;
                    continue;
                }
                let (rows, texts) = reading(segment, || body.texts(*page, &times))?;
                let times = reading(segment, || times(rows.clone(), None))?;
                let mut rows = texts.iter().zip(times);
                rows.try_for_each(|(text, ts)| writer.push(text, ts, Version::UNTOLD)).map_err(failed())?;
            }
        }
    }
    Ok(writer.finish().map_err(failed())?)
}

/// The sum of the inputs' sketches; none where one of them is missing or damaged: the rows are counted then.
fn sketch(job: &Job, draft: &Draft<'_>) -> Result<Option<FileEntry>, SealError> {
    let path = draft.folder.join(SKETCH);
    let mut merged = MergedSketch::default();
    for segment in &job.inputs {
        if let Err(error) = segment.add_sketch(&mut merged) {
            tracing::warn!(%error, segment = %segment.entry.id, "sketch left out of compaction");
            return Ok(None);
        }
    }
    let mut file = draft.create(SKETCH)?;
    merged.write(&mut file).map_err(|source| SealError::Columns { path: path.clone(), source })?;
    file.finish(SKETCH).map(Some).map_err(io("sync", &path))
}

/// The sum of the inputs' patterns; none where one of them has none: the bodies are asked then.
fn patterns(job: &Job, draft: &Draft<'_>) -> Result<Option<FileEntry>, SealError> {
    let mut merged = PatternCounts::default();
    for segment in &job.inputs {
        match segment.open_patterns() {
            Ok(Some(patterns)) => merged.merge(&patterns),
            Ok(None) => return Ok(None),
            Err(error) => {
                tracing::warn!(%error, segment = %segment.entry.id, "patterns left out of compaction");
                return Ok(None);
            }
        }
    }
    write_patterns(draft, &merged).map(Some)
}

impl Job {
    /// The new segment, without what only its kind knows.
    pub(super) fn entry(&self, files: Vec<FileEntry>) -> Entry {
        let entries = || self.inputs.iter().map(|segment| &segment.entry);
        Entry {
            version: crate::segment::VERSION,
            id: self.id.clone(),
            table: self.table.name().to_owned(),
            tenant: crate::segment::TENANT.to_owned(),
            level: self.level,
            path: self.path.to_string_lossy().into_owned(),
            files,
            rows: entries().map(|entry| entry.rows).sum(),
            text_bytes: 0,
            min_ts: entries().map(|entry| entry.min_ts).min().unwrap_or(0),
            max_ts: entries().map(|entry| entry.max_ts).max().unwrap_or(0),
            min_lsn: entries().map(|entry| entry.min_lsn).min().unwrap_or(0),
            max_lsn: entries().map(|entry| entry.max_lsn).max().unwrap_or(0),
            namespaces: Vec::new(),
            replaces: entries().map(|entry| entry.path.clone()).collect(),
            written_by: crate::segment::this_release(),
        }
    }
}
