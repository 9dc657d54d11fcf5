//! Record batches as JSON: times as RFC 3339 with ns, absent as absent, bytes as text with U+FFFD.

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Number, Value};

#[cfg(test)]
mod tests;

/// Rows as objects; a null column is left out, `hidden` ones always.
pub(crate) fn objects(batch: &RecordBatch, hidden: &[&str]) -> Vec<Map<String, Value>> {
    let schema = batch.schema();
    let columns: Vec<(&str, &ArrayRef)> = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| (field.name().as_str(), column))
        .filter(|(name, _)| !hidden.contains(name))
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            let mut object = Map::new();
            for (name, column) in &columns {
                let value = value(column, row);
                if !value.is_null() {
                    object.insert((*name).to_owned(), value);
                }
            }
            object
        })
        .collect()
}

/// Rows as arrays in the order of the columns; null where absent.
pub(crate) fn arrays(batch: &RecordBatch) -> impl Iterator<Item = Vec<Value>> + '_ {
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| value(column, row)).collect())
}

/// One value.
pub(crate) fn value(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::UInt8 => array.as_primitive::<UInt8Type>().value(row).into(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(row).into(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).into(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).into(),
        DataType::Float32 => float(f64::from(array.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).into(),
        DataType::Utf8View => array.as_string_view().value(row).into(),
        DataType::Binary => lossy(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => lossy(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => lossy(array.as_binary_view().value(row)),
        DataType::Timestamp(unit, _) => time(array, *unit, row),
        DataType::Dictionary(_, _) => match array.as_dictionary_opt::<Int32Type>() {
            Some(dictionary) => {
                dictionary.key(row).map_or(Value::Null, |key| value(dictionary.values(), key))
            }
            None => displayed(array, row),
        },
        DataType::List(_) => list(&array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(row)),
        DataType::FixedSizeList(_, _) => list(&array.as_fixed_size_list().value(row)),
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            fields
                .iter()
                .zip(columns)
                .map(|(field, column)| (field.name().clone(), value(column, row)))
                .collect()
        }
        DataType::Map(_, _) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            (0..entries.len())
                .map(|entry| {
                    let key = match value(keys, entry) {
                        Value::String(key) => key,
                        other => other.to_string(),
                    };
                    (key, value(values, entry))
                })
                .collect()
        }
        _ => displayed(array, row),
    }
}

/// JSON has no NaN and no infinity; they are names, so that they are not mistaken for absent.
fn float(number: f64) -> Value {
    Number::from_f64(number).map_or_else(|| Value::String(number.to_string()), Value::Number)
}

fn lossy(bytes: &[u8]) -> Value {
    Value::String(String::from_utf8_lossy(bytes).into_owned())
}

fn list(items: &ArrayRef) -> Value {
    (0..items.len()).map(|item| value(items, item)).collect()
}

fn time(array: &dyn Array, unit: TimeUnit, row: usize) -> Value {
    let ns = match unit {
        TimeUnit::Second => {
            i128::from(array.as_primitive::<TimestampSecondType>().value(row)) * 1_000_000_000
        }
        TimeUnit::Millisecond => {
            i128::from(array.as_primitive::<TimestampMillisecondType>().value(row)) * 1_000_000
        }
        TimeUnit::Microsecond => {
            i128::from(array.as_primitive::<TimestampMicrosecondType>().value(row)) * 1_000
        }
        TimeUnit::Nanosecond => i128::from(array.as_primitive::<TimestampNanosecondType>().value(row)),
    };
    Value::String(rfc3339(ns))
}

/// RFC 3339, UTC, always nine digits; a number of ns where no calendar reaches.
pub(crate) fn rfc3339(ns: i128) -> String {
    jiff::Timestamp::from_nanosecond(ns).map_or_else(|_| ns.to_string(), |time| format!("{time:.9}"))
}

fn displayed(array: &dyn Array, row: usize) -> Value {
    ArrayFormatter::try_new(array, &FormatOptions::default())
        .ok()
        .and_then(|formatter| formatter.value(row).try_to_string().ok())
        .map_or(Value::Null, Value::String)
}
