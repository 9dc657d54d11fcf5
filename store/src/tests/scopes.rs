//! A limited view shows rows of its namespaces only, by whatever way they are read, sealed or not.

use std::collections::BTreeSet;

use arrow::array::AsArray as _;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};

use super::basics::everything;
use super::fixture::{NOW, batch, bodies, collect, identity, newest, open};
use crate::{
    FieldFormat, FieldRequest, HistogramBy, HistogramRequest, LogRequest, Order, PatternRequest, ScanRequest,
    Scope, Snapshot, Table,
};

const MINUTE: i64 = 60_000_000_000;

async fn namespaces(view: &Snapshot, table: Table, request: ScanRequest) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for batch in collect(view.scan(table, request).unwrap()).await {
        let column = cast(batch.column_by_name("namespace").unwrap(), &DataType::Utf8).unwrap();
        found.extend(column.as_string::<i32>().iter().map(|text| text.unwrap_or("").to_owned()));
    }
    found
}

async fn owners(view: &Snapshot, request: FieldRequest) -> Vec<(String, i64)> {
    let mut found = Vec::new();
    for batch in collect(view.log_fields(request).unwrap()).await {
        let values = batch.column(0).as_string::<i32>().iter().map(|value| value.unwrap_or("").to_owned());
        found.extend(values.zip(batch.column(1).as_primitive::<Int64Type>().values().iter().copied()));
    }
    found
}

#[tokio::test]
async fn nothing_of_another_namespace_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for (seq, namespace) in ["shop", "bank", "", "shop-2"].into_iter().enumerate() {
        let mut payload = everything(NOW);
        payload.identities = vec![identity(namespace, "cart")];
        for line in &mut payload.logs {
            line.body = format!("secret of {namespace:?} owner={namespace}").into_bytes().into();
        }
        store.append(&batch("n", 1, seq as u64, &payload), NOW).await.unwrap();
    }
    let shop = Scope::namespaces(["shop"]);
    let expected: BTreeSet<String> = ["shop".to_owned()].into();
    for sealed in [false, true] {
        if sealed {
            store.seal(NOW).await.unwrap();
        }
        let (all, view) = (store.snapshot(), store.snapshot().within(&shop).within(&Scope::All));
        for table in Table::ALL {
            let everybody = namespaces(&all, table, ScanRequest::default()).await;
            // the ledger is about nodes, which are in no namespace
            let mine = if everybody.contains("shop") { expected.clone() } else { BTreeSet::new() };
            assert_eq!(everybody.len(), if mine.is_empty() { 1 } else { 4 }, "{table:?} {everybody:?}");
            for request in [
                ScanRequest::default(),
                ScanRequest { limit: Some(10), order: Order::NewestFirst, ..ScanRequest::default() },
                ScanRequest { scope: Scope::All, limit: Some(1), ..ScanRequest::default() },
            ] {
                assert_eq!(namespaces(&view, table, request).await, mine, "{table:?} sealed={sealed}");
            }
            for part in view.split(table, 2) {
                assert!(namespaces(&part, table, ScanRequest::default()).await.is_subset(&mine));
            }
            let other = vec![("namespace".to_owned(), "bank".to_owned())];
            let request = ScanRequest { equals: other, ..ScanRequest::default() };
            assert!(namespaces(&view, table, request).await.is_empty(), "{table:?}");
        }
        let text = LogRequest { contains: vec![b"secret".to_vec()], ..LogRequest::default() };
        for request in [newest(10), LogRequest::default(), text.clone()] {
            assert_eq!(bodies(&view, request).await, ["secret of \"shop\" owner=shop"], "sealed={sealed}");
        }
        for (logs, step_ns) in
            [(LogRequest::default(), Some(MINUTE)), (LogRequest::default(), None), (text, Some(1_000))]
        {
            let request = HistogramRequest { logs, step_ns, by: HistogramBy::Namespace };
            let counts = view.log_histogram(request).await.unwrap().buckets;
            let counts: Vec<_> = counts.iter().map(|bucket| (bucket.key.as_str(), bucket.count)).collect();
            assert_eq!(counts, [("shop", 1)], "sealed={sealed}");
        }
        let request = PatternRequest { from_ns: i64::MIN, to_ns: i64::MAX, ..PatternRequest::default() };
        let found = view.log_patterns(request).await.unwrap().patterns;
        let found: Vec<_> = found.iter().map(|found| (found.namespace.as_str(), found.lines)).collect();
        assert_eq!(found, [("shop", 1)], "sealed={sealed}");
        let other =
            LogRequest { equals: vec![("namespace".to_owned(), "bank".to_owned())], ..LogRequest::default() };
        for (logs, expected) in [(LogRequest::default(), &[("shop".to_owned(), 1)][..]), (other, &[])] {
            let request = FieldRequest { logs, format: FieldFormat::Logfmt, name: "owner".to_owned() };
            assert_eq!(owners(&view, request).await, expected, "sealed={sealed}");
        }
        let nobody = store.snapshot().within(&Scope::namespaces([""; 0]));
        assert!(bodies(&nobody, newest(10)).await.is_empty());
    }
}
