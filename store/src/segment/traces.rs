//! Which row groups may have a trace, by the blooms of `trace_id`: of each the one block of 32 bytes that decides is read.

use std::io;
use std::ops::Range;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::ChunkReader as _;

use super::ColumnsFile;
use super::pages::intersect;
use crate::scan::{Filter, Test};

/// A block of a bloom, bytes.
const BLOCK: u64 = 32;
/// The header of a bloom is no longer than this.
const MOST_HEADER: u64 = 64;
/// Odd numbers of the Parquet format, one for each word of a block.
const WORDS: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// Leaves out row groups that do not have the trace that is asked for.
pub(super) fn without_other_traces(
    file: &ColumnsFile,
    rows: Vec<Range<u32>>,
    filters: &[Filter],
) -> io::Result<Vec<Range<u32>>> {
    let trace = filters.iter().find_map(|filter| match &filter.test {
        Test::Text(trace) if filter.name == "trace_id" && !trace.is_empty() => Some(trace.as_str()),
        _ => None,
    });
    let Some(trace) = trace.filter(|_| !rows.is_empty()) else { return Ok(rows) };
    let metadata = file.metadata.metadata();
    let schema = metadata.file_metadata().schema_descr();
    let Some(leaf) = schema.columns().iter().position(|leaf| leaf.path().string() == "trace_id") else {
        return Ok(rows);
    };
    let mut groups = Vec::new();
    let mut start = 0;
    for (group, row_group) in metadata.row_groups().iter().enumerate() {
        let end = start + u32::try_from(row_group.num_rows()).unwrap_or(0);
        let asked = rows.iter().any(|rows| rows.start < end && start < rows.end);
        if asked && may_have(file, group, leaf, row_group.column(leaf), trace)? {
            groups.push(start..end);
        }
        start = end;
    }
    Ok(intersect(&rows, &groups))
}

fn may_have(
    file: &ColumnsFile,
    group: usize,
    leaf: usize,
    chunk: &ColumnChunkMetaData,
    trace: &str,
) -> io::Result<bool> {
    let nulls = chunk.statistics().and_then(parquet::file::statistics::Statistics::null_count_opt);
    if nulls.is_some_and(|nulls| i64::try_from(nulls) == Ok(chunk.num_values())) {
        return Ok(false);
    }
    let place = chunk.bloom_filter_offset().zip(chunk.bloom_filter_length());
    let place = place.and_then(|(at, len)| Some((u64::try_from(at).ok()?, u64::try_from(len).ok()?)));
    if let Some((at, len)) = place.filter(|(_, len)| *len > BLOCK) {
        // a header, then a power of two of bytes
        let bits = 1_u64 << len.ilog2();
        if len - bits <= MOST_HEADER && len > bits {
            let hash = xxhash_rust::xxh64::xxh64(trace.as_bytes(), 0);
            let block = ((hash >> 32) * (bits / BLOCK)) >> 32;
            let bytes =
                file.input.get_bytes(at + (len - bits) + block * BLOCK, 32).map_err(io::Error::other)?;
            return Ok(has(&bytes, hash));
        }
    }
    let builder =
        ParquetRecordBatchReaderBuilder::new_with_metadata(file.input.clone(), file.metadata.clone());
    let bloom = builder.get_row_group_column_bloom_filter(group, leaf).map_err(io::Error::other)?;
    Ok(bloom.is_none_or(|bloom| bloom.check(&trace)))
}

/// Whether a block has a hash; false is certain.
fn has(block: &[u8], hash: u64) -> bool {
    let low = (hash & 0xffff_ffff) as u32;
    block
        .as_chunks::<4>()
        .0
        .iter()
        .zip(WORDS)
        .all(|(word, odd)| u32::from_le_bytes(*word) & 1 << (low.wrapping_mul(odd) >> 27) != 0)
}
