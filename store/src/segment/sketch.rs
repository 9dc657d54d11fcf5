//! `sketch.parquet`: rows and bytes per (minute, namespace, workload, level), and totals per pod and level.
//!
//! A row with a minute is a count of that minute; a row without one is a pod's total: of one level ('' where a line has
//! none), or of all levels (null) as releases before wrote it. Rebuildable from the segment.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array as _, AsArray as _, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampNanosecondType};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::ColumnsFile;
use crate::rows::Origin;

mod merge;

pub(crate) use merge::MergedSketch;

const MINUTE_NS: i64 = 60_000_000_000;

/// Whose lines are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Group {
    pub(crate) namespace: String,
    pub(crate) workload: String,
    pub(crate) level: String,
}

/// The lines of one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Minute {
    pub(crate) start_ns: i64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// A sketch in memory.
#[derive(Debug, Default)]
pub(crate) struct Sketch {
    groups: Vec<(Group, Vec<Minute>)>,
    /// Lines of a pod at a level.
    pods: Vec<(Group, String, u64)>,
    /// A pod's total does not say of which levels.
    mixed: bool,
}

/// Counts rows while a segment is written.
#[derive(Debug, Default)]
pub(crate) struct SketchBuilder {
    /// (origin, minute) → rows, bytes. Rows come by stream and nearly by time, so the last place is mostly the next.
    counts: HashMap<(u32, i64), (u64, u64)>,
    last: Option<((u32, i64), (u64, u64))>,
}

impl SketchBuilder {
    #[inline]
    pub(crate) fn add(&mut self, origin: u32, ts: i64, bytes: usize) {
        let place = (origin, ts.div_euclid(MINUTE_NS) * MINUTE_NS);
        if let Some((known, count)) = &mut self.last
            && *known == place
        {
            count.0 += 1;
            count.1 += bytes as u64;
            return;
        }
        self.settle();
        self.last = Some((place, (1, bytes as u64)));
    }

    fn settle(&mut self) {
        if let Some((place, (rows, bytes))) = self.last.take() {
            let count = self.counts.entry(place).or_default();
            count.0 += rows;
            count.1 += bytes;
        }
    }

    /// Writes the file; `origins` are those that rows were added with.
    pub(crate) fn write(
        mut self,
        origins: &[Arc<Origin>],
        out: impl Write + Send,
    ) -> Result<(), ParquetError> {
        self.settle();
        let mut minutes: HashMap<(&str, &str, &str, i64), (u64, u64)> = HashMap::new();
        let mut pods: HashMap<(&str, &str, &str, &str), (u64, u64)> = HashMap::new();
        for ((origin, minute), (rows, bytes)) in &self.counts {
            let Some(origin) = origins.get(*origin as usize) else { continue };
            let identity = &origin.identity;
            let minute =
                minutes.entry((&identity.namespace, &identity.workload, &origin.level, *minute)).or_default();
            let pod = (&*identity.namespace, &*identity.workload, &*origin.level, &*identity.pod);
            let pod = pods.entry(pod).or_default();
            for count in [minute, pod] {
                count.0 += rows;
                count.1 += bytes;
            }
        }
        let mut rows: Vec<Row<'_>> = Vec::with_capacity(minutes.len() + pods.len());
        rows.extend(minutes.into_iter().map(|((namespace, workload, level, minute), count)| Row {
            group: (namespace, workload, Some(level), None),
            minute: Some(minute),
            count,
        }));
        rows.extend(pods.into_iter().map(|((namespace, workload, level, pod), count)| Row {
            group: (namespace, workload, Some(level), Some(pod)),
            minute: None,
            count,
        }));
        write_rows(rows, out)
    }
}

/// Writes the file.
fn write_rows(mut rows: Vec<Row<'_>>, out: impl Write + Send) -> Result<(), ParquetError> {
    rows.sort_unstable_by_key(|row| (row.group, row.minute));
    let batch = batch(&rows)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::None);
    let mut writer = ArrowWriter::try_new(out, schema(), Some(properties.build()))?;
    writer.write(&batch)?;
    writer.close().map(drop)
}

/// One row of the file: a count of a minute, or a pod's total.
struct Row<'a> {
    group: (&'a str, &'a str, Option<&'a str>, Option<&'a str>),
    minute: Option<i64>,
    count: (u64, u64),
}

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let field = |name: &str, data_type: DataType, nullable: bool, id: i32| {
        Field::new(name, data_type, nullable)
            .with_metadata([("PARQUET:field_id".to_owned(), id.to_string())].into())
    };
    Arc::new(Schema::new(vec![
        field("minute", time, true, 1),
        field("namespace", DataType::Utf8, false, 2),
        field("workload", DataType::Utf8, false, 3),
        field("level", DataType::Utf8, true, 4),
        field("pod", DataType::Utf8, true, 5),
        field("rows", DataType::Int64, false, 6),
        field("bytes", DataType::Int64, false, 7),
    ]))
}

fn batch(rows: &[Row<'_>]) -> Result<RecordBatch, ParquetError> {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let minutes =
        rows.iter().map(|row| row.minute).collect::<TimestampNanosecondArray>().with_timezone("UTC");
    let batch = RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(minutes),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.group.0))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.group.1))),
            Arc::new(rows.iter().map(|row| row.group.2).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.group.3).collect::<StringArray>()),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| number(row.count.0)))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| number(row.count.1)))),
        ],
    );
    Ok(batch?)
}

impl Sketch {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let ColumnsFile { input, metadata } = ColumnsFile::open(path)?;
        if metadata.schema().fields().len() < 7 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "columns of a sketch are missing"));
        }
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(input, metadata)
            .with_batch_size(65_536)
            .build()
            .map_err(io::Error::other)?;
        let mut sketch = Self::default();
        for batch in reader {
            sketch.add(&batch.map_err(io::Error::other)?).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, "columns of a sketch have other types")
            })?;
        }
        Ok(sketch)
    }

    /// Lines of each pod by level, if the file says so.
    pub(crate) fn pods(&self) -> Option<impl Iterator<Item = (&Group, &str, u64)>> {
        let pods = self.pods.iter().map(|(group, pod, rows)| (group, pod.as_str(), *rows));
        (!self.mixed).then_some(pods)
    }

    /// Counts of minutes, ascending within a group.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&Group, &[Minute])> {
        self.groups.iter().map(|(group, minutes)| (group, &minutes[..]))
    }

    /// Memory, bytes.
    pub(crate) fn memory(&self) -> usize {
        let name = |group: &Group| 160 + group.namespace.len() + group.workload.len();
        let groups =
            self.groups.iter().map(|(group, minutes)| name(group) + minutes.len() * size_of::<Minute>());
        groups.chain(self.pods.iter().map(|(group, pod, _)| name(group) + pod.len())).sum()
    }

    fn add(&mut self, batch: &RecordBatch) -> Option<()> {
        let minutes = batch.column(0).as_primitive_opt::<TimestampNanosecondType>()?;
        let namespaces = batch.column(1).as_string_opt::<i32>()?;
        let workloads = batch.column(2).as_string_opt::<i32>()?;
        let levels = batch.column(3).as_string_opt::<i32>()?;
        let pods = batch.column(4).as_string_opt::<i32>()?;
        let rows = batch.column(5).as_primitive_opt::<Int64Type>()?;
        let bytes = batch.column(6).as_primitive_opt::<Int64Type>()?;
        for at in 0..batch.num_rows() {
            let (namespace, workload) = (namespaces.value(at), workloads.value(at));
            let level = if levels.is_valid(at) { levels.value(at) } else { "" };
            let group = || Group {
                namespace: namespace.to_owned(),
                workload: workload.to_owned(),
                level: level.to_owned(),
            };
            let count = rows.value(at).cast_unsigned();
            if minutes.is_null(at) {
                self.mixed |= levels.is_null(at);
                let pod = if pods.is_valid(at) { pods.value(at) } else { "" };
                self.pods.push((group(), pod.to_owned(), count));
                continue;
            }
            let minute =
                Minute { start_ns: minutes.value(at), rows: count, bytes: bytes.value(at).cast_unsigned() };
            match self.groups.last_mut() {
                Some((known, minutes))
                    if known.workload == workload && known.level == level && known.namespace == namespace =>
                {
                    minutes.push(minute);
                }
                _ => self.groups.push((group(), vec![minute])),
            }
        }
        Some(())
    }
}
