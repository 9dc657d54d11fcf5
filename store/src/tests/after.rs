//! Who reads what is new reads each row once, wherever it lies by then.

use std::collections::BTreeMap;

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;

use super::basics::everything;
use super::fixture::{NOW, batch, collect, open};
use crate::{ScanRequest, Table};

#[tokio::test]
async fn each_row_is_new_once_sealed_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut after = store.snapshot().last_lsn();
    let mut seen: BTreeMap<(Table, i64), usize> = BTreeMap::new();
    for seq in 0..6 {
        store.append(&batch("n", 1, seq, &everything(NOW)), NOW).await.unwrap();
        if seq % 3 == 1 {
            // what came since the last look is in a segment, some of it beside rows that were seen
            store.seal(NOW).await.unwrap();
        }
        if seq % 2 == 0 {
            continue;
        }
        let snapshot = store.snapshot();
        for table in Table::ALL {
            let columns = Some(vec!["lsn".to_owned()]);
            let request = ScanRequest { after_lsn: Some(after), columns, ..ScanRequest::default() };
            for batch in collect(snapshot.scan(table, request).unwrap()).await {
                let lsns = batch.column(0).as_primitive::<Int64Type>();
                lsns.values().iter().for_each(|lsn| *seen.entry((table, *lsn)).or_default() += 1);
            }
        }
        after = snapshot.last_lsn();
    }
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    for table in Table::ALL {
        let all = collect(store.snapshot().scan(table, ScanRequest::default()).unwrap()).await;
        let rows: usize = all.iter().map(arrow::array::RecordBatch::num_rows).sum();
        assert_eq!(seen.keys().filter(|(of, _)| *of == table).count(), rows, "{table:?}");
    }
}
