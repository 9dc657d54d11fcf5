//! The first rows in an order, out of many batches, holding no more than a few times the limit.

use arrow::array::{Array as _, AsArray as _, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Int64Type, TimestampNanosecondType};

use super::Order;
use crate::ScanError;

/// Collects rows that have `ts` and `lsn`.
pub(super) struct Top {
    order: Order,
    limit: usize,
    held: Vec<RecordBatch>,
    rows: usize,
}

impl Top {
    pub(super) fn new(order: Order, limit: usize) -> Self {
        Self { order, limit, held: Vec::new(), rows: 0 }
    }

    pub(super) fn push(&mut self, batch: RecordBatch) -> Result<(), ScanError> {
        self.rows += batch.num_rows();
        if batch.num_rows() > 0 {
            self.held.push(batch);
        }
        if self.rows / 4 > self.limit.max(2_048) {
            self.trim()?;
        }
        Ok(())
    }

    fn trim(&mut self) -> Result<(), ScanError> {
        self.held = self.best()?.into_iter().collect();
        self.rows = self.held.iter().map(RecordBatch::num_rows).sum();
        Ok(())
    }

    /// Whether a row between these times may be among the first.
    pub(super) fn is_better(&mut self, (oldest, newest): (i64, i64)) -> Result<bool, ScanError> {
        if self.rows < self.limit {
            return Ok(true);
        }
        self.trim()?;
        let last = self.held.last().and_then(|batch| batch.column_by_name("ts"));
        let last =
            last.and_then(|ts| ts.as_primitive_opt::<TimestampNanosecondType>()?.values().last().copied());
        Ok(last.is_none_or(|last| match self.order {
            Order::OldestFirst => oldest <= last,
            Order::Any | Order::NewestFirst => newest >= last,
        }))
    }

    pub(super) fn finish(self) -> Result<Option<RecordBatch>, ScanError> {
        self.best()
    }

    fn best(&self) -> Result<Option<RecordBatch>, ScanError> {
        let Some(first) = self.held.first() else { return Ok(None) };
        let all = concat_batches(first.schema_ref(), &self.held)?;
        let column = |name: &str| {
            let column = all.column_by_name(name);
            column.ok_or_else(|| ScanError::UnknownColumn(name.to_owned()))
        };
        let ts = column("ts")?.as_primitive::<TimestampNanosecondType>().values();
        let lsn = column("lsn")?.as_primitive::<Int64Type>().values();
        let mut rows: Vec<u32> =
            (0..all.num_rows()).map(|row| u32::try_from(row).unwrap_or(u32::MAX)).collect();
        let key = |row: &u32| (ts[*row as usize], lsn[*row as usize]);
        match self.order {
            Order::OldestFirst => rows.sort_unstable_by_key(key),
            Order::Any | Order::NewestFirst => rows.sort_unstable_by_key(|row| std::cmp::Reverse(key(row))),
        }
        rows.truncate(self.limit);
        let rows = UInt32Array::from(rows);
        debug_assert_eq!(rows.null_count(), 0);
        Ok(Some(take_record_batch(&all, &rows)?))
    }
}
