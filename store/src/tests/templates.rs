//! Lines that repeat, so that the seal writes them as templates: the same answers as a naive scan, and in less room.

use proptest::prelude::{ProptestConfig, Strategy, any, proptest};
use proptest::{collection, option, prop_oneof, sample};

use super::fixture::{NOW, SECOND, open};
use super::search::{Line, check};
use crate::disk::faulty::Random;
use crate::{LogRequest, PatternRequest};

const LEVELS: [&str; 3] = ["info", "error", ""];

/// A line of one of a few services.
fn body(kind: u64, random: &mut Random, ts: i64) -> String {
    let (number, user, hex) = (random.below(3_000), random.below(40), random.below(1 << 60));
    let (minute, second, ms) = (ts / SECOND / 60 % 60, ts / SECOND % 60, ts / 1_000_000 % 1_000);
    let message =
        ["request done", "cache miss", "upstream timeout", "token refreshed"][random.below(4) as usize];
    match kind {
        0 => format!(
            "{{\"ts\":\"2026-11-21T12:{minute:02}:{second:02}.{ms:03}Z\",\"msg\":\"{message}\",\"user\":\"u{user}\",\"took\":{number}.{user},\"trace_id\":\"{hex:032x}\"}}"
        ),
        1 => format!(
            "10.0.{user}.{} - - [21/Nov/2026:12:{minute:02}:{second:02} +0000] \"GET /api/v1/items/{number} HTTP/1.1\" 200 {number}",
            user * 3
        ),
        2 => format!("level=info msg=\"{message}\" shard={user} took={number}ms path=/srv/data{user}/x"),
        3 => format!(
            "12:{minute:02}:{second:02},{ms:03} ERROR [pool-{user}] c.acme.Ledger - failed\njava.lang.Error: {message}\n\tat c.acme.Ledger.post(Ledger.java:{number})\n\tat c.acme.Main.run(Main.java:7)"
        ),
        _ => format!("worker-{user} finished job {hex:08x} in 00{number} ms for user alice{user}x"),
    }
}

fn lines(seed: u64, rows: usize) -> Vec<Line> {
    let mut random = Random(seed);
    (0..rows)
        .map(|_| {
            let ts = NOW - random.below(7_000_000) as i64 * 1_000_000;
            let workload = random.below(3) as u32;
            let kind = if random.below(9) == 0 { random.below(5) } else { u64::from(workload) * 2 % 5 };
            let mut body = body(kind, &mut random, ts).into_bytes();
            if random.below(40) == 0 && !body.is_empty() {
                let at = random.below(body.len() as u64) as usize;
                body[at] = (random.below(0x7f)) as u8;
            }
            Line { ts, workload, level: LEVELS[random.below(3) as usize], body }
        })
        .collect()
}

fn needle(lines: usize) -> impl Strategy<Value = (usize, usize, usize)> {
    (0..lines, 0_usize..160, 1_usize..26)
}

type Pick = (usize, usize, usize);

fn cut(lines: &[Line], (row, start, len): Pick) -> Vec<u8> {
    let body = &lines[row % lines.len()].body;
    let start = start.min(body.len());
    body[start..(start + len).min(body.len())].to_vec()
}

const REGEXES: [&str; 8] = [
    "took=\\d{4}ms",
    "(?i)TIMEOUT",
    "u1\\d\"",
    "Ledger.*Main",
    "items/1[0-9]+ HTTP",
    "^10\\.0\\.3\\.",
    "[0-9a-f]{32}",
    "job [0-9a-f]+ in 0",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn templates_answer_what_a_naive_scan_finds(
        seed in any::<u64>(),
        picks in collection::vec((needle(900), needle(900), 0_u32..8, any::<bool>(), option::of(sample::select(&REGEXES[..]))), 10),
        workload in prop_oneof![sample::select(&["w0", "w1", "w2"][..])],
    ) {
        let lines = lines(seed, 600);
        let requests: Vec<LogRequest> = picks
            .into_iter()
            .map(|(one, other, kind, newest_first, regex)| {
                let (one, other) = (cut(&lines, one), cut(&lines, other));
                let ascii = one.is_ascii() && other.is_ascii();
                let mut request = LogRequest { limit: Some(20), newest_first, ..LogRequest::default() };
                match kind {
                    0 | 1 => request.contains = vec![one],
                    2 => request.contains = vec![one, other[..other.len() / 3].to_vec()],
                    3 => request.words = vec![one],
                    4 => request.excludes = vec![one],
                    5 => (request.contains, request.ignore_case) = (vec![one.to_ascii_uppercase()], ascii),
                    6 => (request.excludes, request.contains) = (vec![one], vec![other[..other.len() / 4].to_vec()]),
                    _ => {
                        request.contains = vec![one];
                        request.equals = vec![("workload".to_owned(), workload.to_owned())];
                        request.from_ns = NOW - 3_000 * SECOND;
                    }
                }
                request.regexes = regex.map(str::to_owned).into_iter().collect();
                request
            })
            .collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(check(&lines, 560, &requests));
    }
}

#[tokio::test]
async fn repeating_lines_are_sealed_as_templates() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let lines = lines(1, 3_000);
    let text: usize = lines.iter().map(|line| line.body.len()).sum();
    let payload = super::search::payload(&lines);
    store.append(&super::fixture::batch("n", 1, 1, &payload), NOW).await.unwrap();
    store.seal(NOW).await.unwrap();
    let size: u64 = super::damage::files(dir.path(), "body.bin")
        .iter()
        .map(|path| std::fs::metadata(path).unwrap().len())
        .sum();
    // ids of 60 random bits and mutated lines are most of it
    assert!(size * 5 < text as u64, "{size} of {text}");
}

#[tokio::test]
async fn patterns_are_the_same_before_and_after_a_seal() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let bodies: Vec<String> = (0..400)
        .map(|at| match at % 4 {
            0 => format!("took {at} ms for user u{at}"),
            1 => format!("failed after {at} tries\n\tat Main.java:{at}"),
            _ => format!("level=info msg=\"cache miss\" shard={at}"),
        })
        .collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    store.append(&super::fixture::batch("n", 1, 1, &super::fixture::lines(NOW, &bodies)), NOW).await.unwrap();
    let all = PatternRequest { from_ns: i64::MIN, to_ns: i64::MAX, ..PatternRequest::default() };
    let late =
        PatternRequest { from_ns: NOW + 200_000_000, workload: Some("cart".to_owned()), ..all.clone() };
    let none = PatternRequest { workload: Some("other".to_owned()), ..all.clone() };
    let ask = async |request: &PatternRequest| {
        let answer = store.snapshot().log_patterns(request.clone()).await.unwrap();
        assert!(answer.errors.is_empty() && answer.dropped_lines == 0);
        answer.patterns
    };
    let before = ask(&all).await;
    let shown: Vec<(&str, u64)> =
        before.iter().map(|pattern| (pattern.text.as_str(), pattern.lines)).collect();
    assert_eq!(shown[0], ("level=<*> msg=\"<*>\" shard=<*>", 200));
    assert!(shown[1..].contains(&("took <*> ms for user <*>", 100)), "{shown:?}");
    assert!(shown[1..].contains(&("failed after <*> tries", 100)), "{shown:?}");
    assert_eq!((before[0].first_ns, before[0].last_ns), (NOW + 2_000_000, NOW + 399_000_000));
    assert_eq!(before[0].example, bodies[2]);
    let late_before = ask(&late).await;
    assert_eq!(late_before.iter().map(|pattern| pattern.lines).sum::<u64>(), 200);
    store.seal(NOW).await.unwrap();
    assert_eq!(ask(&all).await, before);
    // what was sealed is known since its first line, whatever is asked for
    let since = |pattern: &crate::Pattern| crate::Pattern {
        known_since_ns: 0,
        versions: Vec::new(),
        ..pattern.clone()
    };
    let late_after = ask(&late).await;
    assert!(late_after.iter().all(|pattern| pattern.known_since_ns < NOW + 4_000_000));
    assert!(late_after.iter().map(since).eq(late_before.iter().map(since)));
    assert!(ask(&none).await.is_empty());
}
