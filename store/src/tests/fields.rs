//! Counting lines by a field: whatever way the store takes, the counts are those of a scan of the bodies.

use std::collections::BTreeMap;

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use proptest::prelude::{ProptestConfig, any, proptest};

use super::fixture::{NOW, SECOND, batch, collect, open};
use super::search::{Line, payload};
use crate::disk::faulty::Random;
use crate::{FieldFormat, FieldRequest, LogRequest, Snapshot, field};

const LEVELS: [&str; 3] = ["info", "error", ""];

fn body(random: &mut Random) -> Vec<u8> {
    let (number, user) = (random.below(3_000), random.below(40));
    let text = ["done", "a, \\\"b\\\"", "{not: json}", "x=1 user=u9", "caf\u{e9}", "user", ""]
        [random.below(7) as usize];
    let line = match random.below(9) {
        0 | 1 => {
            format!("{{\"level\":\"info\",\"msg\":\"{text}\",\"user\":\"u{user}\",\"took\":{number}.{user}}}")
        }
        2 => format!(
            "{{\"user\": {number}, \"in\": {{\"user\": \"no\", \"list\": [1, {number}]}}, \"ok\": true}}"
        ),
        3 => format!("{{\"in\":{{\"user\":\"{text}\"}},\"user\":\"{text}\",\"took\":null}}"),
        4 | 5 => format!("level=info msg=\"{text}\" user=u{user} took={number}ms"),
        6 if random.below(2) == 0 => format!("a=x=\"foo user={text}{user} z\" b=\"\"c={number} user=u{user}"),
        6 => format!("worker-{user} user={text} took={number}"),
        7 => format!(
            "{{\"{}\":\"{user}\",\"took\":{number}}}",
            ["user", "took", "user1"][random.below(3) as usize]
        ),
        _ => format!("plain text {number}\nuser=u{user}"),
    };
    let mut line = line.into_bytes();
    if random.below(12) == 0 && !line.is_empty() {
        let at = random.below(line.len() as u64) as usize;
        line[at] = [b'"', b'\\', b'{', b',', 0, 1, 0xff, b' '][random.below(8) as usize];
    }
    line
}

async fn counted(snapshot: &Snapshot, request: FieldRequest) -> BTreeMap<Option<String>, u64> {
    let mut counts = BTreeMap::new();
    for batch in collect(snapshot.log_fields(request).unwrap()).await {
        let lines = batch.column(1).as_primitive::<Int64Type>().values().to_vec();
        for (value, lines) in batch.column(0).as_string::<i32>().iter().zip(lines) {
            *counts.entry(value.map(str::to_owned)).or_default() += lines.cast_unsigned();
        }
    }
    counts
}

async fn check(seed: u64) {
    let mut random = Random(seed);
    let lines: Vec<Line> = (0..400)
        .map(|_| Line {
            ts: NOW - random.below(7_000) as i64 * SECOND,
            workload: random.below(3) as u32,
            level: LEVELS[random.below(3) as usize],
            body: body(&mut random),
        })
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (sealed, head) = lines.split_at(330);
    store.append(&batch("n", 1, 1, &payload(sealed)), NOW).await.unwrap();
    store.seal(NOW).await.unwrap();
    store.append(&batch("n", 1, 2, &payload(head)), NOW).await.unwrap();
    let snapshot = store.snapshot();
    let conditions: [(&[(&str, &str)], i64); 4] = [
        (&[], i64::MIN),
        (&[("workload", "w1")], i64::MIN),
        (&[("level", "error")], i64::MIN),
        (&[], NOW - 3_000 * SECOND),
    ];
    for (equals, from_ns) in conditions {
        for format in [FieldFormat::Json, FieldFormat::Logfmt] {
            for name in ["user", "took", "in", "msg", "none", ""] {
                let mut expected: BTreeMap<Option<String>, u64> = BTreeMap::new();
                let wanted = |line: &&Line| {
                    let has = |(column, value): &(&str, &str)| match *column {
                        "workload" => format!("w{}", line.workload) == *value,
                        _ => line.level == *value,
                    };
                    line.ts >= from_ns && equals.iter().all(has)
                };
                for line in lines.iter().filter(wanted) {
                    let value = field(format, &line.body, name);
                    let value = value.map(|value| String::from_utf8_lossy(&value).into_owned());
                    *expected.entry(value).or_default() += 1;
                }
                let equals =
                    equals.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
                let logs = LogRequest { equals, from_ns, ..LogRequest::default() };
                let request = FieldRequest { logs, format, name: name.to_owned() };
                assert_eq!(counted(&snapshot, request.clone()).await, expected, "{request:?}");
            }
        }
    }
}

/// A quote behind a second `=` of a word opens no string, whatever lies between it and the next one.
#[tokio::test]
async fn a_quote_within_a_word_opens_no_string() {
    let inner = |at: usize| match at % 4 {
        0 => format!("foo user=evil{at} z"),
        1 => format!("bar{at}"),
        2 => format!("b c d e f g{at}"),
        _ => format!("user=e{at}"),
    };
    let body = |at: usize| format!("a=x=\"{}\" user=u{at}", inner(at)).into_bytes();
    let line = |at| Line { ts: NOW, workload: 0, level: "info", body: body(at) };
    let lines: Vec<Line> = (0..400).map(line).collect();
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.append(&batch("n", 1, 1, &payload(&lines)), NOW).await.unwrap();
    let (logs, format) = (LogRequest::default(), FieldFormat::Logfmt);
    let request = FieldRequest { logs, format, name: "user".to_owned() };
    let unsealed = counted(&store.snapshot(), request.clone()).await;
    store.seal(NOW).await.unwrap();
    assert_eq!(counted(&store.snapshot(), request).await, unsealed);
}

#[tokio::test]
async fn long_values_are_handed_over_a_few_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for seq in 0..10 {
        let body = |at| format!("user=u{seq}-{at}-{} took=1", "x".repeat(900_000)).into_bytes();
        let line = |at| Line { ts: NOW, workload: 0, level: "info", body: body(at) };
        let lines: Vec<Line> = (0..4).map(line).collect();
        store.append(&batch("n", 1, seq + 1, &payload(&lines)), NOW).await.unwrap();
    }
    for sealed in [false, true] {
        if sealed {
            store.seal(NOW).await.unwrap();
        }
        let (logs, format) = (LogRequest::default(), FieldFormat::Logfmt);
        let request = FieldRequest { logs, format, name: "user".to_owned() };
        let mut values = 0;
        for batch in collect(store.snapshot().log_fields(request).unwrap()).await {
            values += batch.num_rows();
            assert!(batch.column(0).get_array_memory_size() < 20 << 20, "sealed: {sealed}");
        }
        assert_eq!(values, 40);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn fields_are_counted_as_a_scan_of_the_bodies_counts_them(seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(check(seed));
    }
}
