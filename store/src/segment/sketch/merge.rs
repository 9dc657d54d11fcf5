//! One sketch out of several: counts of the same minute and totals of the same pod are added.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampNanosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use super::{ColumnsFile, Row, write_rows};

/// (namespace, workload, level, pod, minute)
type Key = (String, String, Option<String>, Option<String>, Option<i64>);

/// Counts of several sketches.
#[derive(Debug, Default)]
pub(crate) struct MergedSketch {
    counts: HashMap<Key, (u64, u64)>,
}

impl MergedSketch {
    /// Adds what a sketch file says, whose checksum was right.
    pub(crate) fn add(&mut self, path: &Path) -> io::Result<()> {
        let ColumnsFile { input, metadata } = ColumnsFile::open(path)?;
        let reader =
            ParquetRecordBatchReaderBuilder::new_with_metadata(input, metadata).with_batch_size(8_192);
        for batch in reader.build().map_err(io::Error::other)? {
            let batch = batch.map_err(io::Error::other)?;
            self.add_batch(&batch).ok_or_else(|| super::super::bad("columns of a sketch are missing"))?;
        }
        Ok(())
    }

    fn add_batch(&mut self, batch: &RecordBatch) -> Option<()> {
        let minutes = batch.column_by_name("minute")?.as_primitive_opt::<TimestampNanosecondType>()?;
        let text = |name: &str| batch.column_by_name(name)?.as_string_opt::<i32>();
        let number = |name: &str| batch.column_by_name(name)?.as_primitive_opt::<Int64Type>();
        let (namespaces, workloads) = (text("namespace")?, text("workload")?);
        let (levels, pods) = (text("level")?, text("pod")?);
        let (rows, bytes) = (number("rows")?, number("bytes")?);
        for at in 0..batch.num_rows() {
            let key = (
                namespaces.value(at).to_owned(),
                workloads.value(at).to_owned(),
                levels.is_valid(at).then(|| levels.value(at).to_owned()),
                pods.is_valid(at).then(|| pods.value(at).to_owned()),
                minutes.is_valid(at).then(|| minutes.value(at)),
            );
            let count = self.counts.entry(key).or_default();
            count.0 += rows.value(at).cast_unsigned();
            count.1 += bytes.value(at).cast_unsigned();
        }
        Some(())
    }

    /// Writes the file.
    pub(crate) fn write(&self, out: impl Write + Send) -> Result<(), ParquetError> {
        let mut rows = Vec::with_capacity(self.counts.len());
        for (key, count) in &self.counts {
            let (namespace, workload, level, pod, minute) = key;
            rows.push(Row {
                group: (namespace, workload, level.as_deref(), pod.as_deref()),
                minute: *minute,
                count: *count,
            });
        }
        write_rows(rows, out)
    }
}
