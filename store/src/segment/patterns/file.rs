//! The file: a row for each stream, template, minute and version; the example is in the first row of a pattern.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, BinaryBuilder, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampNanosecondType};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::{Counted, Lines, PatternCounts, Version, minute_of};
use crate::segment::{ColumnsFile, bad};

/// Rows that are read at once.
const BATCH: usize = 8_192;

impl PatternCounts {
    /// Writes the file.
    pub(crate) fn write(&self, out: impl Write + Send) -> Result<(), ParquetError> {
        let mut patterns: Vec<_> = self.iter().collect();
        patterns.sort_unstable_by_key(|(stream, template, _)| (*stream, *template));
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_statistics_enabled(EnabledStatistics::None);
        for column in ["minute", "lines", "first_ts", "last_ts"] {
            properties = properties
                .set_column_dictionary_enabled(ColumnPath::from(column), false)
                .set_column_encoding(ColumnPath::from(column), Encoding::DELTA_BINARY_PACKED);
        }
        let mut writer = ArrowWriter::try_new(out, schema(), Some(properties.build()))?;
        for some in patterns.chunks(1_024) {
            writer.write(&self.batch(some)?)?;
        }
        writer.close().map(drop)
    }

    /// Reads a file whose checksum was right.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let ColumnsFile { input, metadata } = ColumnsFile::open_plain(path)?;
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(input, metadata);
        let mut counts = Self::default();
        for batch in reader.with_batch_size(BATCH).build().map_err(io::Error::other)? {
            let batch = batch.map_err(io::Error::other)?;
            counts.add_batch(&batch).ok_or_else(|| bad("columns of patterns are missing"))?;
        }
        Ok(counts)
    }

    fn add_batch(&mut self, batch: &RecordBatch) -> Option<()> {
        let text = |name: &str| batch.column_by_name(name)?.as_string_opt::<i32>();
        let bytes = |name: &str| batch.column_by_name(name)?.as_binary_opt::<i32>();
        let time = |name: &str| batch.column_by_name(name)?.as_primitive_opt::<TimestampNanosecondType>();
        let (namespaces, workloads) = (text("namespace")?, text("workload")?);
        let (templates, examples) = (bytes("template")?, bytes("example")?);
        let (minutes, firsts, lasts) = (time("minute")?, time("first_ts")?, time("last_ts")?);
        let lines = batch.column_by_name("lines")?.as_primitive_opt::<Int64Type>()?;
        // files of older releases do not tell versions apart
        let versions = match batch.column_by_name("version") {
            Some(versions) => Some(versions.as_string_opt::<i32>()?),
            None => None,
        };
        for at in 0..batch.num_rows() {
            let template = if templates.is_valid(at) { templates.value(at) } else { b"" };
            let found = Lines {
                lines: u64::try_from(lines.value(at)).ok()?,
                first_ns: firsts.value(at),
                last_ns: lasts.value(at),
            };
            let stream = (namespaces.value(at), workloads.value(at));
            let example = || if examples.is_valid(at) { examples.value(at) } else { &b""[..] };
            let version = versions.filter(|versions| versions.is_valid(at));
            let version = version.map(|versions| self.versions.place(versions.value(at)));
            let minute = (minute_of(minutes.value(at)), version.unwrap_or(Version::UNTOLD));
            self.add(stream, template, minute, found, example);
        }
        Some(())
    }

    fn batch(&self, patterns: &[(&(String, String), &[u8], &Counted)]) -> Result<RecordBatch, ParquetError> {
        let mut texts = [BinaryBuilder::new(), BinaryBuilder::new()];
        let (mut namespaces, mut workloads, mut versions) = (Vec::new(), Vec::new(), Vec::new());
        let (mut minutes, mut lines, mut firsts, mut lasts) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for ((namespace, workload), template, counted) in patterns {
            for (at, ((minute, version), found)) in counted.minutes.iter().enumerate() {
                namespaces.push(namespace.as_str());
                workloads.push(workload.as_str());
                texts[0].append_option((!template.is_empty()).then_some(template));
                texts[1].append_option((at == 0 && !template.is_empty()).then_some(&counted.example));
                versions.push(self.versions.name(*version));
                minutes.push(*minute);
                lines.push(i64::try_from(found.lines).unwrap_or(i64::MAX));
                firsts.push(found.first_ns);
                lasts.push(found.last_ns);
            }
        }
        let time = |times: Vec<i64>| Arc::new(TimestampNanosecondArray::from(times).with_timezone("UTC"));
        let [mut templates, mut examples] = texts;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(namespaces)),
            Arc::new(StringArray::from(workloads)),
            Arc::new(templates.finish()),
            time(minutes),
            Arc::new(Int64Array::from(lines)),
            time(firsts),
            time(lasts),
            Arc::new(examples.finish()),
            Arc::new(StringArray::from(versions)),
        ];
        Ok(RecordBatch::try_new(schema(), columns)?)
    }
}

fn schema() -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let field = |name: &str, data_type: DataType, nullable: bool, id: i32| {
        Field::new(name, data_type, nullable)
            .with_metadata([("PARQUET:field_id".to_owned(), id.to_string())].into())
    };
    Arc::new(Schema::new(vec![
        field("namespace", DataType::Utf8, false, 1),
        field("workload", DataType::Utf8, false, 2),
        field("template", DataType::Binary, true, 3),
        field("minute", time(), false, 4),
        field("lines", DataType::Int64, false, 5),
        field("first_ts", time(), false, 6),
        field("last_ts", time(), false, 7),
        field("example", DataType::Binary, true, 8),
        field("version", DataType::Utf8, true, 9),
    ]))
}
