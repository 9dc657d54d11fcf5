//! Words and parts of texts of events and spans: the same rows in the head, sealed and merged, as looking at each row finds.

use std::collections::BTreeMap;

use proto::v1;

use super::fixture::{NOW, batch, collect, identity, open};
use crate::disk::faulty::Random;
use crate::{Order, Says, ScanRequest, Store, Table};

const ROWS: u64 = 5_400;
const WORDS: [&str; 10] = [
    "connect",
    "reconnect",
    "timed_out",
    "caf\u{e9}",
    "cart-7",
    "a",
    "upstream",
    "10.0.0.7:80",
    "Upstream",
    "re",
];

/// The texts of a row, by column.
type Row = BTreeMap<&'static str, Vec<String>>;

fn text(random: &mut Random, at: u64) -> String {
    let words = (0..random.below(4)).map(|_| WORDS[random.below(10) as usize]).collect::<Vec<_>>();
    let joined = words.join([" ", "/", "_", ", "][random.below(4) as usize]);
    if random.below(50) == 0 { format!("{joined} rare{} here", at / 2_700) } else { joined }
}

fn row(at: u64) -> (Row, Row, Row) {
    let mut random = Random(at * 7 + 1);
    let mut some = |most: u64| (0..random.below(most)).map(|_| text(&mut random, at)).collect::<Vec<_>>();
    let span = Row::from([
        ("name", some(2)),
        ("status_message", some(2)),
        ("attributes", some(4)),
        ("events", some(2)),
    ]);
    let process = Row::from([("executable", some(2)), ("arguments", some(5))]);
    let event = Row::from([("reason", some(2)), ("note", some(2)), ("regarding_name", some(2))]);
    (span, process, event)
}

fn payload(rows: std::ops::Range<u64>) -> v1::Payload {
    let mut payload = v1::Payload { identities: vec![identity("shop", "cart")], ..v1::Payload::default() };
    for at in rows {
        let (span, process, event) = row(at);
        let one = |row: &Row, name: &str| row[name].first().cloned().unwrap_or_default();
        let ts = NOW.unsigned_abs() - (ROWS - at) * 1_000_000;
        let attributes =
            span["attributes"].iter().enumerate().map(|(key, text)| (format!("k{key}"), text.clone()));
        payload.spans.push(v1::SpanRow {
            ts,
            trace_id: format!("{at:032x}"),
            name: one(&span, "name"),
            status_message: one(&span, "status_message"),
            attributes: attributes.collect(),
            events: one(&span, "events"),
            ..v1::SpanRow::default()
        });
        payload.processes.push(v1::ProcessRow {
            ts,
            executable: one(&process, "executable"),
            arguments: process["arguments"].clone(),
            ..v1::ProcessRow::default()
        });
        payload.kube_events.push(v1::KubeEventRow {
            ts,
            reason: one(&event, "reason"),
            note: one(&event, "note"),
            regarding_name: one(&event, "regarding_name"),
            ..v1::KubeEventRow::default()
        });
    }
    payload
}

/// Whether a text has it: the definition, said anew.
fn has(text: &str, says: &Says) -> bool {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || !letter.is_ascii();
    text.match_indices(says.text.as_str()).any(|(at, found)| {
        let beside =
            |edge: Option<char>, next: Option<char>| edge.is_some_and(is_word) && next.is_some_and(is_word);
        !says.whole
            || (!beside(found.chars().next(), text[..at].chars().next_back())
                && !beside(found.chars().next_back(), text[at + found.len()..].chars().next()))
    })
}

fn truth(rows: &[(Row, Row, Row)], table: Table, request: &ScanRequest) -> usize {
    let passes = |row: &Row| {
        request.says.iter().all(|says| {
            let wanted =
                |name: &str| says.columns.is_empty() || says.columns.iter().any(|column| column == name);
            row.iter().any(|(name, texts)| wanted(name) && texts.iter().any(|text| has(text, says)))
        })
    };
    let of_table = |(span, process, event): &(Row, Row, Row)| match table {
        Table::Span => passes(span),
        Table::Process => passes(process),
        _ => passes(event),
    };
    rows.iter().filter(|rows| of_table(rows)).count()
}

fn requests() -> Vec<(Table, ScanRequest)> {
    let says = |columns: &[&str], text: &str, whole| Says {
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        text: text.to_owned(),
        whole,
    };
    let mut all = Vec::new();
    for whole in [false, true] {
        for text in
            ["connect", "rare0", "rare1", "timed", "timed_out", "cart-7", "re", "caf\u{e9}", "0.0.7", "none"]
        {
            for table in [Table::Span, Table::Process, Table::KubeEvent] {
                all.push((table, vec![says(&[], text, whole)]));
            }
            all.push((Table::Span, vec![says(&["attributes"], text, whole)]));
            all.push((Table::Process, vec![says(&["arguments"], text, whole), says(&[], "upstream", true)]));
            all.push((
                Table::KubeEvent,
                vec![says(&["note", "reason"], text, whole), says(&[], "here", false)],
            ));
        }
    }
    let request =
        |(table, says)| (table, ScanRequest { says, order: Order::NewestFirst, ..ScanRequest::default() });
    all.into_iter().map(request).collect()
}

async fn check(store: &Store, expected: &[usize], what: &str) {
    for ((table, request), expected) in requests().into_iter().zip(expected) {
        let columns = Some(vec!["ts".to_owned(), "workload".to_owned()]);
        let some = ScanRequest { columns, order: Order::Any, ..request.clone() };
        // whole rows cost the most
        let whole = (expected % 5 == 0).then_some(request);
        for request in whole.into_iter().chain([some]) {
            let rows = collect(store.snapshot().scan(table, request.clone()).unwrap()).await;
            let found: usize = rows.iter().map(|batch| batch.num_rows()).sum();
            assert_eq!(found, *expected, "{what}: {table:?} {:?}", request.says);
        }
    }
}

#[tokio::test]
async fn words_of_names_and_arguments_are_found_wherever_they_lie() {
    let rows: Vec<_> = (0..ROWS).map(row).collect();
    let expected = requests().into_iter().map(|(table, request)| truth(&rows, table, &request));
    let expected: Vec<usize> = expected.collect();
    assert!(expected.iter().filter(|found| **found > 0).count() > 40);
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for part in 0..3 {
        let rows = part * ROWS / 3..(part + 1) * ROWS / 3;
        store.append(&batch("n", 1, part + 1, &payload(rows)), NOW).await.unwrap();
        if part == 1 {
            check_some(&store).await;
        }
        if part < 2 {
            store.seal(NOW).await.unwrap();
        }
    }
    check(&store, &expected, "sealed and not").await;
    store.seal(NOW).await.unwrap();
    check(&store, &expected, "sealed").await;
    while store.compact(NOW + 240 * 60_000_000_000).await.unwrap().is_some() {}
    check(&store, &expected, "merged").await;
    store.close().await;
}

/// What cannot be asked is refused by name.
async fn check_some(store: &Store) {
    for (table, columns) in [
        (Table::Flow, vec![]),
        (Table::Span, vec!["duration_ns".to_owned()]),
        (Table::Log, vec!["body".to_owned()]),
    ] {
        let says = vec![Says { columns, text: "x".to_owned(), whole: true }];
        let request = ScanRequest { says, ..ScanRequest::default() };
        assert!(store.snapshot().scan(table, request).is_err(), "{table:?}");
    }
}
