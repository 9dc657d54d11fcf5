//! Rows in memory: what a batch's rows become once they are admitted, and what the head holds.
//!
//! In: row messages of the wire. Out: Arrow columns of [`Table::schema`](crate::Table::schema).
//! Log rows stay compact ([`LogRows`]: identity by index, bodies in one run of bytes) until somebody asks for columns;
//! every other table is an Arrow batch from the start.

mod columns;
mod identity;
mod log;
mod origins;
mod tables;
mod texts;
mod version;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampNanosecondType};

pub(crate) use log::{LogRow, LogRows, LogRowsBuilder, Origin};
pub(crate) use origins::OriginMap;
pub(crate) use tables::{Convert, TableRows, convert};
pub(crate) use texts::{Texts, shown};
pub(crate) use version::{ATTRIBUTE as VERSION_ATTRIBUTE, Names as VersionNames};

/// The most rows that one chunk of the head holds.
pub(crate) const CHUNK_ROWS: usize = 8_192;

/// An immutable piece of one table's head.
#[derive(Debug)]
pub(crate) enum Chunk {
    Log(Box<LogRows>),
    Rows(RecordBatch),
}

impl Chunk {
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Log(rows) => rows.len(),
            Self::Rows(batch) => batch.num_rows(),
        }
    }

    /// Memory that the chunk takes, bytes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Log(rows) => rows.bytes(),
            Self::Rows(batch) => batch.get_array_memory_size(),
        }
    }

    /// The range of `ts`, or `None` without rows.
    pub(crate) fn times(&self) -> Option<(i64, i64)> {
        let times = match self {
            Self::Log(rows) => &rows.ts[..],
            Self::Rows(batch) => times(batch),
        };
        Some((*times.iter().min()?, *times.iter().max()?))
    }

    /// The highest lsn, or `None` without rows.
    pub(crate) fn last_lsn(&self) -> Option<i64> {
        match self {
            Self::Log(rows) => rows.lsn.iter().max().copied(),
            Self::Rows(batch) => lsns(batch).iter().max().copied(),
        }
    }

    /// The lowest and the highest lsn, or `None` without rows.
    pub(crate) fn lsn_range(&self) -> Option<(i64, i64)> {
        let lsns = match self {
            Self::Log(rows) => &rows.lsn[..],
            Self::Rows(batch) => lsns(batch),
        };
        Some((*lsns.iter().min()?, *lsns.iter().max()?))
    }

    /// Both chunks as one. `None` if they are of different tables or their columns do not fit.
    pub(crate) fn concat(&self, next: &Self) -> Option<Self> {
        match (self, next) {
            (Self::Log(first), Self::Log(second)) => {
                Some(Self::Log(Box::new(LogRows::concat(first, second))))
            }
            (Self::Rows(first), Self::Rows(second)) => {
                arrow::compute::concat_batches(first.schema_ref(), [first, second]).ok().map(Self::Rows)
            }
            _ => None,
        }
    }
}

/// The `ts` column, which is the first of every table.
pub(crate) fn times(batch: &RecordBatch) -> &[i64] {
    batch.column(0).as_primitive::<TimestampNanosecondType>().values()
}

/// The `lsn` column, which is the last of every table.
pub(crate) fn lsns(batch: &RecordBatch) -> &[i64] {
    let last = batch.num_columns().saturating_sub(1);
    batch.column(last).as_primitive_opt::<Int64Type>().map_or(&[], |array| {
        debug_assert_eq!(array.null_count(), 0);
        array.values()
    })
}
