use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, DictionaryArray, Float64Array, Int64Array, RecordBatch, TimestampNanosecondArray,
};
use arrow::datatypes::Int32Type;
use serde_json::json;

use super::{objects, rfc3339};

#[test]
fn rows_are_objects_without_what_is_absent() {
    let level: DictionaryArray<Int32Type> = vec![Some("warn"), None].into_iter().collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "ts",
            Arc::new(TimestampNanosecondArray::from(vec![1_795_249_607_257_393_929, 0]).with_timezone("UTC")),
        ),
        ("level", Arc::new(level)),
        ("body", Arc::new(BinaryArray::from_vec(vec![b"caf\xe9", b"tea"]))),
        ("share", Arc::new(Float64Array::from(vec![0.5, f64::NAN]))),
        ("lsn", Arc::new(Int64Array::from(vec![1, 2]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    assert_eq!(
        json!(objects(&batch, &["lsn"])),
        json!([
            {"ts": "2026-11-21T08:26:47.257393929Z", "level": "warn", "body": "caf\u{fffd}", "share": 0.5},
            {"ts": "1970-01-01T00:00:00.000000000Z", "body": "tea", "share": "NaN"},
        ])
    );
}

#[test]
fn a_time_beyond_the_calendar_is_a_number() {
    assert_eq!(rfc3339(i128::MAX), i128::MAX.to_string());
}
