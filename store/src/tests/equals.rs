//! Equality on every column that can be compared: what a scan finds is what a look at each row finds, sealed or not.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::basics::everything;
use super::fixture::{NOW, SECOND, batch, bodies, collect, lines, newest, open};
use crate::{LogRequest, ScanRequest, Store, Table};

/// Each row's value as a condition gives it; nothing for columns that cannot be compared.
fn values(column: &ArrayRef) -> Vec<String> {
    let column = match column.data_type() {
        DataType::Timestamp(..) => cast(column, &DataType::Int64).unwrap(),
        DataType::Dictionary(..) => cast(column, &DataType::Utf8).unwrap(),
        DataType::Int32 | DataType::Int64 | DataType::Float64 | DataType::Boolean | DataType::Utf8 => {
            Arc::clone(column)
        }
        _ => return Vec::new(),
    };
    let options = FormatOptions::new().with_null("");
    let shown = ArrayFormatter::try_new(column.as_ref(), &options).unwrap();
    (0..column.len()).map(|row| shown.value(row).to_string()).collect()
}

async fn scanned(store: &Store, table: Table, equals: Vec<(String, String)>) -> Vec<RecordBatch> {
    collect(store.snapshot().scan(table, ScanRequest { equals, ..ScanRequest::default() }).unwrap()).await
}

fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

#[tokio::test]
async fn every_column_equals_the_same_before_and_after_a_seal() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for seq in 0..3 {
        let ts = NOW - i64::try_from(seq).unwrap() * 777_000_001;
        store.append(&batch("n", 1, seq, &everything(ts)), NOW).await.unwrap();
    }
    let mut compared = 0;
    for sealed in [false, true] {
        if sealed {
            store.seal(NOW).await.unwrap();
        }
        for table in Table::ALL {
            let all = scanned(&store, table, Vec::new()).await;
            for field in table.schema().fields() {
                let mut counts: BTreeMap<String, usize> = BTreeMap::new();
                for batch in &all {
                    let column = batch.column_by_name(field.name()).unwrap();
                    values(column).into_iter().for_each(|value| *counts.entry(value).or_default() += 1);
                }
                for (value, count) in counts {
                    let equals = vec![(field.name().clone(), value.clone())];
                    let found = rows(&scanned(&store, table, equals.clone()).await);
                    let place = format!("{}.{} = {value:?}, sealed {sealed}", table.name(), field.name());
                    assert_eq!(found, count, "{place}");
                    // bodies of the log are compared by their bytes, which this text is not
                    if table == Table::Log && field.name() != "body" {
                        let request = LogRequest { equals, ..newest(100) };
                        let found = rows(&collect(store.snapshot().logs(request).unwrap()).await);
                        assert_eq!(found, count, "logs: {place}");
                    }
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 200, "{compared}");
}

#[tokio::test]
async fn a_whole_body_is_found_by_equality() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let texts = ["GET /a 200", "GET /a 200 ", "GET /a 2000", "", "x"];
    let many: Vec<&str> = texts.iter().cycle().take(400).copied().collect();
    store.append(&batch("n", 1, 1, &lines(NOW - 10 * SECOND, &many)), NOW).await.unwrap();
    for sealed in [false, true] {
        if sealed {
            store.seal(NOW).await.unwrap();
        }
        for text in texts {
            let equals = vec![("body".to_owned(), text.to_owned())];
            for request in [newest(100), LogRequest { limit: None, ..LogRequest::default() }] {
                let found = bodies(&store.snapshot(), LogRequest { equals: equals.clone(), ..request }).await;
                assert_eq!(found, vec![text; 80], "sealed {sealed}");
            }
            let both = LogRequest { equals, contains: vec![b"200".to_vec()], ..newest(100) };
            let expected = if text.contains("200") { 80 } else { 0 };
            assert_eq!(bodies(&store.snapshot(), both).await.len(), expected, "sealed {sealed}");
        }
    }
}
