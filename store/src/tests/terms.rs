//! Searching spans and events by their values: the same rows in the head, sealed, merged, and where the terms are damaged.

use proto::v1;

use super::damage::files;
use super::fixture::{NOW, batch, collect, identity, open, render};
use crate::{Order, ScanRequest, Store, Table};

const MINUTE: i64 = 60_000_000_000;

fn span(at: u64) -> v1::SpanRow {
    let mut attributes: std::collections::BTreeMap<String, String> = [
        ("http.route", format!("/cart/{}", at % 7)),
        ("user.id", format!("u{at}")),
        ("http.response.status_code", if at.is_multiple_of(997) { "503" } else { "200" }.to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    if at == 4_242 {
        attributes.insert("order.id".to_owned(), "o-1".to_owned());
    }
    v1::SpanRow {
        identity: u32::try_from(at % 2).unwrap(),
        ts: (NOW - 10 * MINUTE).unsigned_abs() + at * 1_000_000,
        duration_ns: at % 50 * 1_000_000,
        trace_id: format!("{:032x}", at / 3 + 1),
        span_id: format!("{:016x}", at + 1),
        service: ["web", "cart"][usize::try_from(at % 2).unwrap()].to_owned(),
        name: format!("GET /{}", at % 11),
        status: if at.is_multiple_of(997) { "error" } else { "" }.to_owned(),
        attributes,
        ..v1::SpanRow::default()
    }
}

/// 3 batches of 3,000 spans, each sealed by itself if that is wanted.
async fn fill(store: &Store, sealed: bool) {
    for seq in 0..3 {
        let payload = v1::Payload {
            identities: vec![identity("shop", "web"), identity("shop", "cart")],
            spans: (seq * 3_000..(seq + 1) * 3_000).map(span).collect(),
            ..v1::Payload::default()
        };
        store.append(&batch("n", 1, seq + 1, &payload), NOW).await.unwrap();
        if sealed {
            store.seal(NOW).await.unwrap();
        }
    }
}

/// Conditions, and how many spans pass them.
fn questions() -> Vec<(Vec<(&'static str, String)>, usize)> {
    let count = |passes: &dyn Fn(u64) -> bool| (0..9_000).filter(|at| passes(*at)).count();
    vec![
        (vec![("attributes.order.id", "o-1".to_owned())], 1),
        (vec![("attributes.order.id", "o-2".to_owned())], 0),
        (vec![("attributes.user.id", "u8999".to_owned())], 1),
        (vec![("attributes.http.response.status_code", "503".to_owned())], count(&|at| at % 997 == 0)),
        (vec![("status", "error".to_owned())], count(&|at| at % 997 == 0)),
        (vec![("status", String::new())], count(&|at| at % 997 != 0)),
        (vec![("attributes.order.id", String::new())], 8_999),
        (
            vec![("service", "cart".to_owned()), ("attributes.http.route", "/cart/3".to_owned())],
            count(&|at| at % 2 == 1 && at % 7 == 3),
        ),
        (vec![("name", "GET /5".to_owned()), ("status", "error".to_owned())], {
            count(&|at| at % 11 == 5 && at % 997 == 0)
        }),
        (vec![("trace_id", format!("{:032x}", 1_000))], 3),
        (vec![("span_id", format!("{:016x}", 4_243)), ("service", "web".to_owned())], 1),
    ]
}

async fn answers(store: &Store) -> Vec<String> {
    let mut all = Vec::new();
    for (equals, expected) in questions() {
        let named = format!("{equals:?}");
        let equals = equals.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let request = ScanRequest { equals, order: Order::NewestFirst, ..ScanRequest::default() };
        let rows = collect(store.snapshot().scan(Table::Span, request.clone()).unwrap()).await;
        assert_eq!(rows.iter().map(|batch| batch.num_rows()).sum::<usize>(), expected, "{named}");
        // some columns, and a range that cuts pages
        let columns = Some(vec!["name".to_owned(), "attributes".to_owned(), "lsn".to_owned()]);
        let from_ns = NOW - 10 * MINUTE + 2_345_000_000;
        let part = ScanRequest { columns, from_ns, limit: Some(40), ..request };
        let part = collect(store.snapshot().scan(Table::Span, part).unwrap()).await;
        all.push(sorted(&render(&rows)) + &sorted(&render(&part)));
    }
    all
}

/// Keys of a map come in any order.
fn sorted(rows: &str) -> String {
    let row = |row: &str| {
        let mut parts: Vec<&str> = row.split([' ', ',', '{', '}']).collect();
        parts.sort_unstable();
        parts.join(" ")
    };
    rows.lines().map(row).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn spans_are_found_by_their_values_wherever_they_lie() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, false).await;
    let expected = answers(&store).await;
    store.close().await;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store, true).await;
    assert_eq!(answers(&store).await, expected);
    let later = NOW + 240 * MINUTE;
    while store.compact(later).await.unwrap().is_some() {}
    store.maintain(later + 60 * MINUTE).await.unwrap();
    assert_eq!(files(&dir.path().join("seg/default/span"), "terms.bin").len(), 1);
    assert_eq!(answers(&store).await, expected);
    store.close().await;
    drop(store);
    // a hint that cannot be believed is none
    for path in files(&dir.path().join("seg/default/span"), "terms.bin") {
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[100..2_000].fill(0);
        std::fs::write(&path, bytes).unwrap();
    }
    let store = open(dir.path());
    assert_eq!(answers(&store).await, expected);
    store.close().await;
}
