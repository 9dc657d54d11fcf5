//! `observed_ts` of log rows in files: how long after `ts`, in milliseconds, since that is nearly the same in neighbours
//! where the times are not. Files of releases before this one have `observed_ts` itself.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray as _, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMillisecondType, TimestampNanosecondType,
};
use arrow::error::ArrowError;

use crate::Table;
use crate::table::DELAY;

/// What a file has instead of [`OBSERVED`].
pub(super) const STORED: &str = DELAY.name;
/// The column that is made of it.
pub(super) const OBSERVED: &str = "observed_ts";
/// The column that it counts from.
pub(super) const FROM: &str = "ts";

const MS: i64 = 1_000_000;

/// The columns of `data.parquet` as they are written.
pub(crate) fn stored_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let schema = Table::Log.file_schema();
        let fields = schema.fields().iter().map(|field| match field.name().as_str() {
            OBSERVED => Arc::new(DELAY.field()),
            _ => Arc::clone(field),
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    });
    Arc::clone(&SCHEMA)
}

/// Rows with the columns of [`Table::file_schema`] as they are written.
pub(crate) fn stored(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = stored_schema();
    let (Some(ts), Some(observed)) = (batch.column_by_name(FROM), batch.column_by_name(OBSERVED)) else {
        return Err(ArrowError::SchemaError(format!("log rows without {OBSERVED}")));
    };
    let ts = ts.as_primitive::<TimestampNanosecondType>().values();
    let observed = observed.as_primitive::<TimestampMillisecondType>().values();
    let delays = ts.iter().zip(observed).map(|(ts, observed)| observed.wrapping_sub(ts.div_euclid(MS)));
    let delays: ArrayRef = Arc::new(Int64Array::from_iter_values(delays));
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        STORED => Ok(Arc::clone(&delays)),
        name => batch
            .column_by_name(name)
            .map(Arc::clone)
            .ok_or_else(|| ArrowError::SchemaError(format!("log rows without {name}"))),
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(schema, columns)
}

/// Rows that were read with [`FROM`] and [`STORED`], and with [`OBSERVED`] behind them.
pub(super) fn with_observed(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let (Some(ts), Some(delays)) = (batch.column_by_name(FROM), batch.column_by_name(STORED)) else {
        return Err(ArrowError::SchemaError(format!("log rows without {STORED}")));
    };
    let nanoseconds = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let ts = cast(ts, &nanoseconds)?;
    let ts = ts.as_primitive::<TimestampNanosecondType>().values();
    let delays = delays
        .as_primitive_opt::<Int64Type>()
        .ok_or_else(|| ArrowError::SchemaError(format!("{STORED} is of another type")))?;
    let observed = ts.iter().zip(delays.values()).map(|(ts, delay)| ts.div_euclid(MS).wrapping_add(*delay));
    let observed = TimestampMillisecondArray::from_iter_values(observed).with_timezone("UTC");
    let mut fields: Vec<_> = batch.schema_ref().fields().iter().map(Arc::clone).collect();
    let schema = Table::Log.file_schema();
    fields.push(Arc::new(schema.field_with_name(OBSERVED)?.clone()));
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(observed));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, TimestampMillisecondArray, TimestampNanosecondArray};
    use arrow::array::{AsArray as _, RecordBatch, new_null_array};
    use arrow::datatypes::{DataType, TimestampMillisecondType};

    use super::{OBSERVED, stored, with_observed};
    use crate::Table;

    #[test]
    fn what_was_observed_comes_back_whatever_the_two_times_are() {
        let schema = Table::Log.file_schema();
        let times = [0, 1, -1, 999_999, 1_000_000, i64::MIN, i64::MAX, 1_795_262_400_123_456_789];
        let observed: Vec<i64> = times.iter().rev().map(|time| time.div_euclid(1_000_000)).collect();
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            match field.name().as_str() {
                "ts" => Arc::new(TimestampNanosecondArray::from(times.to_vec()).with_timezone("UTC")),
                OBSERVED => Arc::new(TimestampMillisecondArray::from(observed.clone()).with_timezone("UTC")),
                _ => match field.data_type() {
                    kind if field.is_nullable() => new_null_array(kind, times.len()),
                    DataType::Int64 => Arc::new(arrow::array::Int64Array::from(vec![7; times.len()])),
                    DataType::Boolean => Arc::new(arrow::array::BooleanArray::from(vec![true; times.len()])),
                    DataType::Dictionary(..) => {
                        let keys = arrow::array::Int32Array::from(vec![0; times.len()]);
                        let values = Arc::new(arrow::array::StringArray::from(vec!["shop"]));
                        Arc::new(arrow::array::DictionaryArray::new(keys, values))
                    }
                    DataType::Map(entries, sorted) => Arc::new(arrow::array::MapArray::new(
                        Arc::clone(entries),
                        arrow::buffer::OffsetBuffer::from_lengths(vec![0; times.len()]),
                        arrow::array::new_empty_array(entries.data_type()).as_struct().clone(),
                        None,
                        *sorted,
                    )),
                    other => panic!("{other}"),
                },
            }
        });
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap();
        let written = stored(&batch).unwrap();
        assert!(written.column_by_name(OBSERVED).is_none());
        let read = with_observed(&written).unwrap();
        let read = read.column_by_name(OBSERVED).unwrap().as_primitive::<TimestampMillisecondType>();
        assert_eq!(read.values().to_vec(), observed);
    }
}
