//! Reading segments: which rows can match, their columns, their bodies.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, RecordBatchOptions, StringArray, UInt32Array};
use arrow::compute::{cast, concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::cache::{Cache, Kept, Part};
use super::pages::{count, intersect, one, possible, ranges, selection};
use super::{BODY, BodyFile, Candidates, ColumnsFile, DATA, Entry, SKETCH, Sketch};
use crate::rows::Texts;
use crate::scan::{self, Filter, Test, mask};
use crate::search;
use crate::table::log_schema;
use crate::{ScanError, Table};

/// Rows of a batch while scanning.
const BATCH: usize = 8_192;

/// A segment of the catalog.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Unique while the store is open.
    number: u64,
    pub(crate) entry: Entry,
    pub(crate) folder: PathBuf,
    checked: AtomicBool,
}

impl Segment {
    pub(crate) fn new(entry: Entry, root: &Path) -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let folder = entry.folder(root)?;
        Some(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            entry,
            folder,
            checked: AtomicBool::new(false),
        })
    }

    pub(crate) fn times(&self) -> (i64, i64) {
        (self.entry.min_ts, self.entry.max_ts)
    }

    pub(crate) fn last_lsn(&self) -> i64 {
        self.entry.max_lsn
    }

    pub(crate) fn rows(&self) -> u64 {
        self.entry.rows
    }

    pub(crate) fn file_bytes(&self) -> u64 {
        self.entry.file_bytes()
    }

    /// `data.parquet` is as it was written. Parquet's own pages are not checksummed, so this is done once, whole.
    fn check_data(&self) -> io::Result<()> {
        if !self.checked.load(Ordering::Relaxed) {
            self.check(DATA)?;
            self.checked.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn check(&self, name: &str) -> io::Result<()> {
        let known =
            self.entry.files.iter().find(|file| file.name == name).ok_or_else(|| bad("a file is missing"))?;
        match checksum(&self.folder.join(name))? {
            found if found == (known.bytes, known.crc32c) => Ok(()),
            _ => Err(bad(&format!("wrong checksum of {name}"))),
        }
    }

    fn unreadable(&self, detail: impl ToString) -> ScanError {
        ScanError::SegmentUnreadable {
            segment: self.entry.id.clone(),
            from_ns: self.entry.min_ts,
            to_ns: self.entry.max_ts,
            detail: detail.to_string(),
        }
    }
}

/// Pages that one query has unpacked and will read rows of.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pages: HashMap<(u64, usize), Arc<(u32, Texts)>>,
    room: usize,
}

impl Unpacked {
    /// Keeps so many pages of half a MiB.
    pub(crate) fn new(room: usize) -> Self {
        Self { pages: HashMap::new(), room }
    }
}

/// Reads segments, keeping footers and indexes within a budget.
#[derive(Debug)]
pub(crate) struct Reader {
    cache: Cache,
    pub(crate) unreadable: AtomicU64,
}

impl Reader {
    pub(crate) fn new(cache_bytes: usize) -> Self {
        Self { cache: Cache::new(cache_bytes), unreadable: AtomicU64::new(0) }
    }

    pub(crate) fn cache_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Hands over the rows that match, with the columns of `plan.read`, until `take` says false.
    pub(crate) fn scan(
        &self,
        segment: &Segment,
        plan: &scan::Plan,
        take: &mut dyn FnMut(RecordBatch) -> bool,
    ) -> Result<(), ScanError> {
        self.named(segment, || self.try_scan(segment, plan, take))
    }

    /// The rows whose body matches, with the columns that decide the rest.
    pub(crate) fn log_keys(
        &self,
        segment: &Segment,
        plan: &search::Plan,
        unpacked: &mut Unpacked,
    ) -> Result<Vec<(Vec<u32>, RecordBatch)>, ScanError> {
        self.named(segment, || self.try_log_keys(segment, plan, unpacked))
    }

    /// All columns of these rows, which ascend.
    pub(crate) fn log_rows(
        &self,
        segment: &Segment,
        rows: &[u32],
        unpacked: &Unpacked,
    ) -> Result<RecordBatch, ScanError> {
        self.named(segment, || self.try_log_rows(segment, rows, unpacked))
    }

    /// The segment's counts per minute, if it has them.
    pub(crate) fn sketch(&self, segment: &Segment) -> Result<Option<Arc<Sketch>>, ScanError> {
        if !segment.entry.files.iter().any(|file| file.name == SKETCH) {
            return Ok(None);
        }
        let kept = self.cache.get(segment.number, Part::Sketch, || {
            segment.check(SKETCH)?;
            let sketch = Sketch::open(&segment.folder.join(SKETCH))?;
            let bytes = sketch.memory();
            Ok((Kept::Sketch(Arc::new(sketch)), bytes))
        });
        match kept {
            Ok(Kept::Sketch(sketch)) => Ok(Some(sketch)),
            // a sketch only repeats what the rows say: without it they are counted
            Ok(_) | Err(_) => Ok(None),
        }
    }

    /// Says which segment an error is about. Bytes that changed after they were checked can lead a decoder that is
    /// not ours anywhere: that is an unreadable segment too.
    fn named<T>(&self, segment: &Segment, read: impl FnOnce() -> io::Result<T>) -> Result<T, ScanError> {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
        let result = result.unwrap_or_else(|_panic| Err(bad("a decoder gave up")));
        result.map_err(|error| {
            self.unreadable.fetch_add(1, Ordering::Relaxed);
            segment.unreadable(error)
        })
    }

    fn columns(&self, segment: &Segment) -> io::Result<Arc<ColumnsFile>> {
        let kept = self.cache.get(segment.number, Part::Columns, || {
            segment.check_data()?;
            let file = ColumnsFile::open(&segment.folder.join(DATA))?;
            let table = segment.entry.table().ok_or_else(|| bad("an unknown table"))?;
            check_columns(&file, table)?;
            let rows = file.metadata.metadata().file_metadata().num_rows();
            if u64::try_from(rows) != Ok(segment.entry.rows) {
                return Err(bad("another number of rows than the catalog says"));
            }
            let bytes = file.memory();
            Ok((Kept::Columns(Arc::new(file)), bytes))
        })?;
        match kept {
            Kept::Columns(file) => Ok(file),
            _ => Err(bad("the cache holds something else")),
        }
    }

    fn body(&self, segment: &Segment) -> io::Result<Arc<BodyFile>> {
        let kept = self.cache.get(segment.number, Part::Body, || {
            let file = BodyFile::open(&segment.folder.join(BODY))?;
            if u64::from(file.rows()) != segment.entry.rows {
                return Err(bad("another number of bodies than the catalog says"));
            }
            let bytes = file.memory();
            Ok((Kept::Body(Arc::new(file)), bytes))
        })?;
        match kept {
            Kept::Body(file) => Ok(file),
            _ => Err(bad("the cache holds something else")),
        }
    }

    /// The blooms in memory, while the budget has room for them.
    fn blooms(&self, segment: &Segment, body: &BodyFile) -> io::Result<Option<Arc<Vec<u8>>>> {
        let kept = self.cache.get_if_room(segment.number, Part::Blooms, body.bloom_bytes(), || {
            Ok(Kept::Blooms(Arc::new(body.blooms()?)))
        })?;
        Ok(match kept {
            Some(Kept::Blooms(blooms)) => Some(blooms),
            _ => None,
        })
    }

    fn try_scan(
        &self,
        segment: &Segment,
        plan: &scan::Plan,
        take: &mut dyn FnMut(RecordBatch) -> bool,
    ) -> io::Result<()> {
        let file = self.columns(segment)?;
        let rows = without_other_traces(
            &file,
            possible(file.metadata.metadata(), plan.from_ns, plan.to_ns, &plan.filters),
            &plan.filters,
        )?;
        if rows.is_empty() {
            return Ok(());
        }
        let wants_body = plan.read.index_of("body").is_ok();
        let mut numbers = rows.iter().cloned().flatten();
        for batch in read(&file, &rows, &plan.read, BATCH)? {
            let batch = batch.map_err(io::Error::other)?;
            let batch = if wants_body {
                let here: Vec<u32> = numbers.by_ref().take(batch.num_rows()).collect();
                self.with_bodies(segment, &batch, &here, plan)?
            } else {
                scan::project_by_name(&batch, &plan.read).map_err(io::Error::other)?
            };
            if !take(batch) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads the bodies of the rows that pass all conditions, and of no other.
    fn with_bodies(
        &self,
        segment: &Segment,
        batch: &RecordBatch,
        rows: &[u32],
        plan: &scan::Plan,
    ) -> io::Result<RecordBatch> {
        let on_body = |filter: &&Filter| filter.name == "body";
        let mut filters: Vec<Filter> =
            plan.filters.iter().filter(|filter| !on_body(filter)).cloned().collect();
        for filter in &mut filters {
            filter.column = batch.schema_ref().index_of(&filter.name).map_err(io::Error::other)?;
        }
        let (batch, rows) = match mask(batch, plan.from_ns, plan.to_ns, &filters) {
            Some(mask) => {
                let rows =
                    rows.iter().zip(mask.values()).filter(|(_, keep)| *keep).map(|(row, _)| *row).collect();
                (filter_record_batch(batch, &mask).map_err(io::Error::other)?, rows)
            }
            None => (batch.clone(), rows.to_vec()),
        };
        let bodies = self.body(segment)?.read(&rows, |_| None)?;
        assemble(&batch, &bodies, &plan.read)
    }

    fn try_log_keys(
        &self,
        segment: &Segment,
        plan: &search::Plan,
        unpacked: &mut Unpacked,
    ) -> io::Result<Vec<(Vec<u32>, RecordBatch)>> {
        let file = self.columns(segment)?;
        let mut rows = possible(file.metadata.metadata(), plan.from_ns, plan.to_ns, &plan.filters);
        rows = without_other_traces(&file, rows, &plan.filters)?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        if plan.matcher.is_empty() {
            return whole_ranges(&file, &rows, &plan.keys);
        }
        let body = self.body(segment)?;
        rows = of_streams(&body, plan, &rows);
        let wanted = Candidates::new(plan.matcher.required());
        let mut found = Vec::new();
        let blooms = self.blooms(segment, &body)?;
        for (page, rows) in body.candidates(&rows, &wanted, blooms.as_deref().map(Vec::as_slice))? {
            let (first_row, texts) = body.page(page)?;
            let before = found.len();
            let within = (rows.start - first_row) as usize..(rows.end - first_row) as usize;
            plan.matcher.matching(&texts, within, &mut found);
            found[before..].iter_mut().for_each(|row| *row += first_row);
            if found.len() > before && unpacked.pages.len() < unpacked.room {
                unpacked.pages.insert((segment.number, page), Arc::new((first_row, texts)));
            }
        }
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let keys = some_rows(&file, &found, &plan.keys)?;
        Ok(vec![(found, keys)])
    }

    fn try_log_rows(&self, segment: &Segment, rows: &[u32], unpacked: &Unpacked) -> io::Result<RecordBatch> {
        let file = self.columns(segment)?;
        let kept = |page: usize| unpacked.pages.get(&(segment.number, page)).map(Arc::clone);
        let bodies = self.body(segment)?.read(rows, kept)?;
        let columns = some_rows(&file, rows, &Table::Log.file_schema())?;
        assemble(&columns, &bodies, &log_schema())
    }
}

/// The file has the columns that this release knows, with their types; further ones do not matter.
fn check_columns(file: &ColumnsFile, table: Table) -> io::Result<()> {
    for field in table.file_schema().fields() {
        match file.metadata.schema().field_with_name(field.name()) {
            Ok(found) if found.data_type() == field.data_type() => {}
            Ok(found) => return Err(bad(&format!("column {} is {}", field.name(), found.data_type()))),
            Err(_) => return Err(bad(&format!("no column {}", field.name()))),
        }
    }
    Ok(())
}

/// The columns of `schema` (but the body) of these rows, in batches.
fn read(
    file: &ColumnsFile,
    rows: &[Range<u32>],
    schema: &Schema,
    batch: usize,
) -> io::Result<ParquetRecordBatchReader> {
    let descriptor = file.metadata.metadata().file_metadata().schema_descr();
    let fields = file.metadata.schema().fields();
    let roots = fields.iter().enumerate().filter(|(_, field)| schema.index_of(field.name()).is_ok());
    let projection = ProjectionMask::roots(descriptor, roots.map(|(root, _)| root));
    let total = u32::try_from(file.metadata.metadata().file_metadata().num_rows()).unwrap_or(u32::MAX);
    let mut builder =
        ParquetRecordBatchReaderBuilder::new_with_metadata(file.input.clone(), file.metadata.clone())
            .with_projection(projection)
            .with_batch_size(batch);
    if count(rows) != total as usize {
        builder = builder.with_row_selection(selection(rows, total));
    }
    builder.build().map_err(io::Error::other)
}

/// Key columns of whole ranges, with the rows' numbers.
fn whole_ranges(
    file: &ColumnsFile,
    rows: &[Range<u32>],
    schema: &SchemaRef,
) -> io::Result<Vec<(Vec<u32>, RecordBatch)>> {
    let mut numbers = rows.iter().cloned().flatten();
    let mut keys = Vec::new();
    for batch in read(file, rows, schema, 65_536)? {
        let batch = batch.map_err(io::Error::other)?;
        let batch = scan::project_by_name(&batch, schema).map_err(io::Error::other)?;
        keys.push((numbers.by_ref().take(batch.num_rows()).collect(), batch));
    }
    Ok(keys)
}

/// Columns of single rows, which ascend. Where they lie close together, the ranges between them are read as well.
fn some_rows(file: &ColumnsFile, rows: &[u32], schema: &SchemaRef) -> io::Result<RecordBatch> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Ok(RecordBatch::new_empty(Arc::clone(schema)));
    };
    let span = (last - first) as usize + 1;
    let dense = rows.len() > 64 && rows.len() * 12 > span;
    let wanted = if dense { one(*first..last + 1) } else { ranges(rows) };
    let mut batches = Vec::new();
    for batch in read(file, &wanted, schema, 65_536)? {
        let batch = batch.map_err(io::Error::other)?;
        batches.push(scan::project_by_name(&batch, schema).map_err(io::Error::other)?);
    }
    let all = concat_batches(schema, &batches).map_err(io::Error::other)?;
    if all.num_rows() != count(&wanted) {
        return Err(bad("fewer rows than its footer says"));
    }
    if !dense {
        return Ok(all);
    }
    let places: UInt32Array = rows.iter().map(|row| row - first).collect::<Vec<u32>>().into();
    take_record_batch(&all, &places).map_err(io::Error::other)
}

/// Leaves out row groups whose bloom does not know the trace that is asked for.
fn without_other_traces(
    file: &ColumnsFile,
    rows: Vec<Range<u32>>,
    filters: &[Filter],
) -> io::Result<Vec<Range<u32>>> {
    let trace = filters.iter().find_map(|filter| match &filter.test {
        Test::Text(trace) if filter.name == "trace_id" && !trace.is_empty() => Some(trace.as_str()),
        _ => None,
    });
    let Some(trace) = trace else { return Ok(rows) };
    let metadata = file.metadata.metadata();
    let schema = metadata.file_metadata().schema_descr();
    let Some(leaf) = schema.columns().iter().position(|leaf| leaf.path().string() == "trace_id") else {
        return Ok(rows);
    };
    let builder =
        ParquetRecordBatchReaderBuilder::new_with_metadata(file.input.clone(), file.metadata.clone());
    let mut groups = Vec::new();
    let mut start = 0;
    for (group, row_group) in metadata.row_groups().iter().enumerate() {
        let end = start + u32::try_from(row_group.num_rows()).unwrap_or(0);
        let bloom = builder.get_row_group_column_bloom_filter(group, leaf).map_err(io::Error::other)?;
        if bloom.is_none_or(|bloom| bloom.check(&trace)) {
            groups.push(start..end);
        }
        start = end;
    }
    Ok(intersect(&rows, &groups))
}

/// Leaves out streams that the conditions on namespace and workload rule out.
fn of_streams(body: &BodyFile, plan: &search::Plan, rows: &[Range<u32>]) -> Vec<Range<u32>> {
    let (namespace, workload) = (plan.must_be("namespace"), plan.must_be("workload"));
    if namespace.is_none() && workload.is_none() {
        return rows.to_vec();
    }
    let streams = body.runs().iter().filter(|run| {
        namespace.is_none_or(|value| value == run.namespace)
            && workload.is_none_or(|value| value == run.workload)
    });
    let streams: Vec<Range<u32>> = streams.map(|run| run.first_row..run.first_row + run.rows).collect();
    intersect(rows, &streams)
}

/// Columns and bodies as one batch.
fn assemble(columns: &RecordBatch, bodies: &Texts, schema: &SchemaRef) -> io::Result<RecordBatch> {
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        arrays.push(match (field.name().as_str(), field.data_type()) {
            ("body", DataType::Binary) => Arc::new(BinaryArray::from_iter_values(bodies.iter())),
            ("body", _) => {
                Arc::new(StringArray::from_iter_values(bodies.iter().map(String::from_utf8_lossy)))
            }
            (name, wanted) => {
                let column = columns.column_by_name(name).ok_or_else(|| bad("a column is missing"))?;
                if column.data_type() == wanted {
                    Arc::clone(column)
                } else {
                    cast(column, wanted).map_err(io::Error::other)?
                }
            }
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(bodies.len()));
    RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options).map_err(io::Error::other)
}

fn checksum(path: &Path) -> io::Result<(u64, u32)> {
    let mut file = std::fs::File::open(path)?;
    let (mut bytes, mut crc) = (0, 0);
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((bytes, crc));
        }
        crc = crc32c::crc32c_append(crc, &buffer[..read]);
        bytes += read as u64;
    }
}

fn bad(detail: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, detail)
}
