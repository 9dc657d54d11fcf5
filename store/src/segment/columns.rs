//! `data.parquet`: how columns are written, and an open file that several threads may read at once.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{ChunkReader, Length};
use parquet::schema::types::ColumnPath;

use super::delays::STORED;
use crate::Table;
use crate::table::Kind;

/// The columns of a log by which pages are chosen.
const CHOSEN_BY: [&str; 10] =
    ["ts", "lsn", "namespace", "workload", "pod", "node", "container", "level", "trace_id", "span_id"];
const ATTRIBUTES: &str = "attributes";
const ROW_GROUP: usize = 131_072;
const LOG_PAGE: usize = 4_096;
const PAGE: usize = 20_000;

/// How the columns of a table are encoded; `rows` is how many there will be.
pub(crate) fn writer_properties(table: Table, rows: usize) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_created_by(format!("wake {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_data_page_row_count_limit(if has_traces(table) { LOG_PAGE } else { PAGE })
        .set_statistics_enabled(EnabledStatistics::Page);
    for column in table.columns() {
        let path = ColumnPath::from(column.name);
        match column.kind {
            // rows of the log come in the order of their positions, so times go back and forth: steps would be wider than
            // the times themselves, of which the upper bytes repeat
            Kind::Time if table == Table::Log => {
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::BYTE_STREAM_SPLIT);
            }
            Kind::Time | Kind::CoarseTime => {
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            }
            Kind::I64 if column.name == "lsn" => {
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            }
            Kind::Text if has_traces(table) && column.name.ends_with("_id") => {
                // ids: each is different, so a dictionary would only be given up half way
                properties = properties.set_column_dictionary_enabled(path.clone(), false);
                if column.name == "trace_id" {
                    properties = properties
                        .set_column_bloom_filter_enabled(path.clone(), true)
                        .set_column_bloom_filter_fpp(path.clone(), 0.01)
                        .set_column_bloom_filter_ndv(path, rows.min(ROW_GROUP) as u64);
                }
            }
            _ => {}
        }
    }
    if table == Table::Log {
        // pages are chosen by few columns; what the others have is not worth a line per page, on disk and in memory
        for column in table.columns().iter().filter(|column| !CHOSEN_BY.contains(&column.name)) {
            let path = ColumnPath::from(column.name);
            properties = properties.set_column_statistics_enabled(path, EnabledStatistics::Chunk);
        }
        for path in
            [vec![STORED], vec![ATTRIBUTES, "key_value", "key"], vec![ATTRIBUTES, "key_value", "value"]]
        {
            let path = ColumnPath::new(path.into_iter().map(str::to_owned).collect());
            properties = properties.set_column_statistics_enabled(path, EnabledStatistics::Chunk);
        }
        // mostly one value or few; where they are many, neighbours are near each other
        properties = properties.set_column_encoding(ColumnPath::from(STORED), Encoding::DELTA_BINARY_PACKED);
    }
    properties.build()
}

/// Whether rows are looked for by their trace.
fn has_traces(table: Table) -> bool {
    matches!(table, Table::Log | Table::Span)
}

/// An open Parquet file with its footer and page index.
#[derive(Clone, Debug)]
pub(crate) struct ColumnsFile {
    pub(crate) input: Input,
    pub(crate) metadata: ArrowReaderMetadata,
}

impl ColumnsFile {
    /// With its page index, which the columns of a segment always have.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::with(path, PageIndexPolicy::Required)
    }

    /// A file that is only read whole.
    pub(crate) fn open_plain(path: &Path) -> io::Result<Self> {
        Self::with(path, PageIndexPolicy::Skip)
    }

    fn with(path: &Path, index: PageIndexPolicy) -> io::Result<Self> {
        let file = File::open(path)?;
        let input = Input { len: file.metadata()?.len(), file: Arc::new(file) };
        let options = ArrowReaderOptions::new().with_page_index_policy(index);
        let metadata = ArrowReaderMetadata::load(&input, options).map_err(io::Error::other)?;
        Ok(Self { input, metadata })
    }

    /// Memory, bytes.
    pub(crate) fn memory(&self) -> usize {
        self.metadata.metadata().memory_size() + 4_096
    }
}

/// A file read by position, so that readers do not move each other.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    file: Arc<File>,
    len: u64,
}

/// Reads on from a position.
#[derive(Debug)]
pub(crate) struct From {
    file: Arc<File>,
    at: u64,
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Length for Input {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for Input {
    type T = io::BufReader<From>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(io::BufReader::new(From { file: Arc::clone(&self.file), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.len) {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} of {}", self.len)));
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}
