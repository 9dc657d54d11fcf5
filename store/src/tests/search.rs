//! Every path of a log search against a naive scan: a false negative is the one unforgivable error.

use std::collections::BTreeMap;

use arrow::array::AsArray as _;
use arrow::datatypes::{DataType, Int64Type};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, proptest};
use proptest::{collection, option, prop_oneof, sample};
use proto::v1;

use super::fixture::{NOW, SECOND, batch, bodies, collect, identity, line, open};
use crate::{HistogramBy, HistogramRequest, LogRequest};

/// A line as the naive scan sees it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) ts: i64,
    pub(super) workload: u32,
    pub(super) level: &'static str,
    pub(super) body: Vec<u8>,
}

const WORDS: [&str; 14] = [
    "error",
    "Error",
    "err",
    "timeout",
    "time",
    "out",
    "id_7",
    "7",
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "x4bf92f3577b34da6a3ce929d0e0e4736y",
    "AbstractAuthenticationProcessingFilterChain",
    "caf\u{e9}",
    "CAF\u{c9}",
    "a",
];

fn body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => sample::select(&WORDS[..]).prop_map(|word| word.as_bytes().to_vec()),
        4 => sample::select(&[" ", "=", "-", "_", "", "\"", ": ", "\n"][..]).prop_map(|text| text.as_bytes().to_vec()),
        // no byte that begins a character: what folds by case stays what is written above
        1 => collection::vec(prop_oneof![0_u8..0xc0, 0xfe_u8..=0xff], 0..4),
    ];
    collection::vec(piece, 0..9).prop_map(|pieces| pieces.concat())
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let level = sample::select(&["info", "error", ""][..]);
    let line = (0_i64..7_200, 0_u32..3, level, body()).prop_map(|(second, workload, level, body)| Line {
        ts: NOW - second * SECOND,
        workload,
        level,
        body,
    });
    collection::vec(line, 1..60)
}

fn needle() -> impl Strategy<Value = Vec<u8>> {
    // a piece of a body, or something like one
    (body(), 0_usize..12, 1_usize..20).prop_map(|(body, start, len)| {
        let start = start.min(body.len());
        let end = (start + len).min(body.len());
        body[start..end].to_vec()
    })
}

fn regex() -> impl Strategy<Value = String> {
    let fixed = [
        "err(or)?",
        "time.*out",
        "(?i)ERROR",
        "id_\\d",
        "^error",
        "a|timeout",
        "[0-9a-f]{32}",
        "x4bf.*y$",
        "(err)+o",
        "\u{fffd}",
        "[^a].\\x{fffd}?t",
        "^.{1,9}$",
    ];
    prop_oneof![
        sample::select(fixed.map(str::to_owned).to_vec()),
        sample::select(&WORDS[..]).prop_map(str::to_owned)
    ]
}

fn request() -> impl Strategy<Value = LogRequest> {
    let texts = || collection::vec(needle(), 0..2);
    let word = sample::select(&WORDS[..]).prop_map(|word| word.as_bytes().to_vec());
    let words = collection::vec(prop_oneof![word, needle()], 0..2);
    let equals =
        option::of(sample::select(&[("workload", "w1"), ("level", "error"), ("level", ""), ("k", "v")][..]));
    let range = prop_oneof![Just((0, 7_300)), (0_i64..7_200, 0_i64..7_200)];
    let ways = (any::<bool>(), any::<bool>(), any::<bool>());
    (texts(), words, collection::vec(regex(), 0..2), texts(), ways, equals, range).prop_map(
        |(contains, words, regexes, excludes, ways, equals, (one, other))| {
            let (ignore_case, newest_first, as_shown) = ways;
            LogRequest {
                as_shown,
                // halves of characters have no case
                ignore_case: ignore_case
                    && contains
                        .iter()
                        .chain(&words)
                        .chain(&excludes)
                        .all(|text| str::from_utf8(text).is_ok()),
                from_ns: NOW - one.max(other) * SECOND,
                to_ns: NOW - one.min(other) * SECOND + 1,
                contains,
                words,
                regexes,
                excludes,
                equals: equals.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect(),
                limit: Some(20),
                columns: None,
                newest_first,
                after_lsn: None,
                beyond: None,
                scope: crate::Scope::All,
            }
        },
    )
}

/// Lower case of ASCII and of the one other letter that lines have.
fn fold(text: &[u8]) -> Vec<u8> {
    let mut text = text.to_ascii_lowercase();
    for at in 1..text.len() {
        if text[at - 1..=at] == [0xc3, 0x89] {
            text[at] = 0xa9;
        }
    }
    text
}

fn is_word(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80)
}

/// Substring, or whole word, looked for at each position.
fn naive_find(body: &[u8], needle: &[u8], word: bool) -> bool {
    (0..=body.len().saturating_sub(needle.len())).filter(|at| body[*at..].starts_with(needle)).any(|at| {
        let end = at + needle.len();
        let before = at > 0 && is_word(body.get(at - 1)) && is_word(body.get(at));
        let after = end > 0 && is_word(body.get(end - 1)) && is_word(body.get(end));
        !word || needle.is_empty() || (!before && !after)
    })
}

fn naive(line: &Line, request: &LogRequest) -> bool {
    let case = |text: &[u8]| if request.ignore_case { fold(text) } else { text.to_vec() };
    let body = case(&line.body);
    let has =
        |needle: &Vec<u8>, word: bool| needle.len() <= body.len() && naive_find(&body, &case(needle), word);
    let regex = |pattern: &String| {
        let pattern = if request.ignore_case { format!("(?i){pattern}") } else { pattern.clone() };
        match request.as_shown {
            true => regex::Regex::new(&pattern).unwrap().is_match(&String::from_utf8_lossy(&line.body)),
            false => regex::bytes::Regex::new(&pattern).unwrap().is_match(&line.body),
        }
    };
    let equals = request.equals.iter().all(|(name, value)| match name.as_str() {
        "workload" => format!("w{}", line.workload) == *value,
        "level" => line.level == value,
        _ => line.workload == 2 && value == "v",
    });
    line.ts >= request.from_ns
        && line.ts < request.to_ns
        && equals
        && request.contains.iter().all(|needle| has(needle, false))
        && request.words.iter().all(|needle| has(needle, true))
        && request.regexes.iter().all(regex)
        && !request.excludes.iter().any(|needle| has(needle, false))
}

pub(super) fn payload(lines: &[Line]) -> v1::Payload {
    let row = |entry: &Line| {
        let mut row = line(entry.workload, entry.ts, entry.level, &entry.body);
        if entry.workload == 2 {
            row.attributes = [("k".to_owned(), "v".to_owned())].into();
        }
        row
    };
    v1::Payload {
        identities: (0..3).map(|workload| identity("shop", &format!("w{workload}"))).collect(),
        logs: lines.iter().map(row).collect(),
        ..v1::Payload::default()
    }
}

pub(super) async fn check(lines: &[Line], split: usize, requests: &[LogRequest]) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (sealed, head) = lines.split_at(split.min(lines.len()));
    store.append(&batch("n", 1, 1, &payload(sealed)), NOW).await.unwrap();
    store.seal(NOW).await.unwrap();
    store.append(&batch("n", 1, 2, &payload(head)), NOW).await.unwrap();
    let snapshot = store.snapshot();
    for request in requests {
        let lsn = |at: usize| if at < sealed.len() { at } else { at - sealed.len() + sealed.len().max(1) };
        let mut expected: Vec<(i64, usize, &Line)> = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| naive(line, request))
            .map(|(at, line)| (line.ts, lsn(at), line))
            .collect();
        expected.sort_by_key(|(ts, lsn, _)| (*ts, *lsn));
        if request.newest_first {
            expected.reverse();
        }
        let texts = |lines: &[(i64, usize, &Line)]| -> Vec<String> {
            lines.iter().map(|(_, _, line)| String::from_utf8_lossy(&line.body).into_owned()).collect()
        };
        let all = texts(&expected);
        let found = bodies(&snapshot, request.clone()).await;
        assert_eq!(found, all[..all.len().min(20)], "{request:?}");
        let mut paged = Vec::new();
        let mut page = LogRequest { limit: Some(7), ..request.clone() };
        loop {
            let batches = collect(snapshot.logs(page.clone()).unwrap()).await;
            let Some(last) = batches.last() else { break };
            let number = |column: &str| {
                let column =
                    arrow::compute::cast(last.column_by_name(column).unwrap(), &DataType::Int64).unwrap();
                column.as_primitive::<Int64Type>().value(last.num_rows() - 1)
            };
            page.beyond = Some((number("ts"), number("lsn")));
            for batch in &batches {
                let column = batch.column_by_name("body").unwrap().as_binary::<i32>();
                paged.extend(column.iter().map(|body| String::from_utf8_lossy(body.unwrap()).into_owned()));
            }
        }
        assert_eq!(paged, all, "by pages: {request:?}");
        let mut unordered = bodies(&snapshot, LogRequest { limit: None, ..request.clone() }).await;
        let mut sorted = all.clone();
        unordered.sort();
        sorted.sort();
        assert_eq!(unordered, sorted, "without a limit: {request:?}");
        let mut counts: BTreeMap<(i64, String), u64> = BTreeMap::new();
        for (ts, _, line) in &expected {
            *counts.entry((ts.div_euclid(60 * SECOND) * 60 * SECOND, line.level.to_owned())).or_default() +=
                1;
        }
        let histogram =
            HistogramRequest { logs: request.clone(), step_ns: Some(60 * SECOND), by: HistogramBy::Level };
        let histogram = snapshot.log_histogram(histogram).await.unwrap();
        let counted: BTreeMap<(i64, String), u64> = histogram
            .buckets
            .into_iter()
            .map(|bucket| ((bucket.start_ns, bucket.key), bucket.count))
            .collect();
        assert_eq!(counted, counts, "histogram: {request:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_path_finds_what_a_naive_scan_finds(
        lines in lines(),
        split in 0_usize..60,
        requests in collection::vec(request(), 12),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(check(&lines, split, &requests));
    }
}

#[tokio::test]
async fn a_regex_that_does_not_parse_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let request = LogRequest { regexes: vec!["ok".to_owned(), "a(b".to_owned()], ..LogRequest::default() };
    match store.snapshot().logs(request).err() {
        Some(crate::RequestError::Regex { index: 1, position: Some(1), .. }) => {}
        other => panic!("{other:?}"),
    }
}
