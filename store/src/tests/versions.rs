//! Patterns by version: what seals count, merges add up, the registry remembers and blocks say, against lines counted one
//! by one.

use std::collections::{BTreeMap, BTreeSet};

use super::fixture::{NOW, SECOND, batch, identity, line, open, open_with};
use crate::disk::faulty::Random;
use crate::{Pattern, PatternRequest, Store};
use proto::v1;

const KINDS: [&str; 5] =
    ["order {} paid", "cache miss k{} here", "disk {} failing", "retry {}", "session {} up"];

/// Where a line says its version.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Says {
    Attribute,
    Label,
    PodName,
    Nothing,
}

#[derive(Clone, Debug)]
struct Line {
    ts: i64,
    workload: usize,
    kind: usize,
    says: Says,
    version: usize,
}

impl Line {
    fn version(&self) -> String {
        match self.says {
            Says::Attribute => format!("1.{}", self.version),
            Says::Label => format!("v{}", self.version),
            Says::PodName => format!("7d9f{}", ["b", "c", "d", "f"][self.version]),
            Says::Nothing => String::new(),
        }
    }

    fn identity(&self) -> v1::Identity {
        let workload = format!("w{}", self.workload);
        let mut identity = identity("shop", &workload);
        match self.says {
            Says::Label => identity.labels = format!("app=x,app.kubernetes.io/version={}", self.version()),
            Says::PodName => {
                identity.workload_kind = "deployment".to_owned();
                identity.pod = format!("{workload}-{}-x2x4z", self.version());
            }
            Says::Attribute | Says::Nothing => {}
        }
        identity
    }
}

fn payload(lines: &[Line]) -> v1::Payload {
    let mut payload = v1::Payload::default();
    for (at, one) in (0..).zip(lines) {
        payload.identities.push(one.identity());
        let body = KINDS[one.kind].replace("{}", &(at * 7).to_string());
        let mut row = line(at, one.ts, "info", body.as_bytes());
        if one.says == Says::Attribute {
            row.attributes.insert("service.version".to_owned(), one.version());
        }
        row.attributes.insert("zone".to_owned(), "a".to_owned());
        payload.logs.push(row);
    }
    payload
}

/// Lines of a rollout: workload by workload some versions after the other, which overlap.
fn lines(seed: u64, rows: u64) -> Vec<Line> {
    let mut random = Random(seed);
    let says = [Says::Attribute, Says::Label, Says::PodName, Says::Nothing];
    let mut lines: Vec<Line> = (0..rows)
        .map(|_| {
            let second = random.below(3_000);
            let workload = random.below(3) as usize;
            let version = (second / 1_000 + random.below(2)) as usize;
            // a kind that comes with a version, and those that all have
            let kind = if random.below(3) == 0 { version + 1 } else { 0 };
            // the third workload says it in several ways
            let says = if workload == 2 { says[random.below(4) as usize] } else { says[workload] };
            let ts = NOW - 3_300 * SECOND + second as i64 * SECOND + random.below(1_000) as i64 * 1_000_000;
            Line { ts, workload, kind, says, version }
        })
        .collect();
    lines.sort_by_key(|line| line.ts);
    lines
}

type Key = (String, String);

/// By workload and kind of line: the lines of the range, their first and last, and by version the lines of the range and
/// the first and last ever.
type Truth = BTreeMap<Key, (u64, i64, i64, BTreeMap<String, (u64, i64, i64)>)>;

fn truth(lines: &[Line], request: &PatternRequest) -> Truth {
    let mut truth = Truth::new();
    for line in lines {
        let workload = format!("w{}", line.workload);
        if request.workload.as_ref().is_some_and(|wanted| *wanted != workload) {
            continue;
        }
        let version = line.version();
        let in_range = line.ts >= request.from_ns && line.ts < request.to_ns;
        let wanted = in_range && request.version.as_ref().is_none_or(|wanted| *wanted == version);
        let fresh = (0, i64::MAX, i64::MIN, BTreeMap::new());
        let found = truth
            .entry((workload, KINDS[line.kind].replace("k{}", "{}").replace("{}", "<*>")))
            .or_insert(fresh);
        if wanted {
            *found = (found.0 + 1, found.1.min(line.ts), found.2.max(line.ts), std::mem::take(&mut found.3));
        }
        let of = found.3.entry(version).or_insert((0, line.ts, line.ts));
        *of = (of.0 + u64::from(in_range), of.1.min(line.ts), of.2.max(line.ts));
    }
    truth.retain(|_, found| found.0 > 0 || request.ever);
    truth
}

fn said(patterns: Vec<Pattern>) -> Truth {
    let one = |pattern: Pattern| {
        let versions = pattern.versions.iter();
        let in_order: Vec<i64> = versions.clone().map(|version| version.first_ns).collect();
        assert!(in_order.is_sorted());
        assert_eq!(in_order.first(), Some(&pattern.known_since_ns), "{pattern:?}");
        let versions = versions.map(|of| (of.version.clone(), (of.lines, of.first_ns, of.last_ns)));
        let times =
            if pattern.lines > 0 { (pattern.first_ns, pattern.last_ns) } else { (i64::MAX, i64::MIN) };
        ((pattern.workload, pattern.text), (pattern.lines, times.0, times.1, versions.collect()))
    };
    patterns.into_iter().map(one).collect()
}

async fn ask(store: &Store, request: &PatternRequest) -> Truth {
    let answer = store.snapshot().log_patterns(request.clone()).await.unwrap();
    assert!(answer.errors.is_empty() && answer.dropped_lines == 0);
    said(answer.patterns)
}

fn requests(random: &mut Random, lines: &[Line]) -> Vec<PatternRequest> {
    let versions: BTreeSet<String> = lines.iter().map(Line::version).collect();
    let mut versions: Vec<Option<String>> = versions.into_iter().map(Some).collect();
    versions.extend([None, Some("2.0".to_owned())]);
    (0..24)
        .map(|_| {
            let mut at = || {
                let at = NOW - 3_400 * SECOND + random.below(3_400) as i64 * SECOND;
                if random.below(2) == 0 { at / (60 * SECOND) * 60 * SECOND } else { at }
            };
            let (one, other) = (at(), at());
            PatternRequest {
                from_ns: one.min(other),
                to_ns: one.max(other) + 1,
                version: versions[random.below(versions.len() as u64) as usize].clone(),
                workload: (random.below(3) == 0).then(|| format!("w{}", random.below(3))),
                ever: true,
                ..PatternRequest::default()
            }
        })
        .collect()
}

#[tokio::test]
async fn versions_are_counted_through_seals_merges_and_restarts() {
    for seed in 1..=3 {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let lines = lines(seed, 1_500);
        let mut random = Random(seed + 100);
        let requests = requests(&mut random, &lines);
        let mut stored = 0;
        for (part, lines_of_part) in (1..).zip(lines.chunks(300)) {
            stored += lines_of_part.len();
            store.append(&batch("n", 1, part, &payload(lines_of_part)), NOW).await.unwrap();
            for request in &requests[..8] {
                let expected = truth(&lines[..stored], request);
                assert_eq!(ask(&store, request).await, expected, "seed {seed} part {part} {request:?}");
            }
            if part < 5 {
                store.seal(NOW).await.unwrap();
            }
        }
        let check = async |store: &Store, what: &str| {
            for request in &requests {
                let expected = truth(&lines, request);
                assert_eq!(ask(store, request).await, expected, "seed {seed} {what} {request:?}");
                let only = PatternRequest { ever: false, ..request.clone() };
                let lines_of = |truth: Truth| -> Vec<_> {
                    truth
                        .into_iter()
                        .map(|(key, (lines, first, last, _))| (key, lines, first, last))
                        .collect()
                };
                assert_eq!(lines_of(ask(store, &only).await), lines_of(truth(&lines, &only)), "{only:?}");
            }
        };
        check(&store, "some sealed").await;
        store.seal(NOW).await.unwrap();
        check(&store, "sealed").await;
        while store.compact(NOW).await.unwrap().is_some() {}
        check(&store, "merged").await;
        store.close().await;
        drop(store);
        let store = open_with(dir.path(), super::fixture::limits()).unwrap().0;
        check(&store, "opened again").await;
        store.close().await;
        drop(store);
        std::fs::remove_file(dir.path().join("patterns")).unwrap();
        let store = open_with(dir.path(), super::fixture::limits()).unwrap().0;
        check(&store, "registry made anew").await;
        store.close().await;
    }
}

#[tokio::test]
async fn a_registry_of_a_release_without_versions_is_read_and_reads_ours() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let lines = lines(7, 300);
    store.append(&batch("n", 1, 1, &payload(&lines)), NOW).await.unwrap();
    store.seal(NOW).await.unwrap();
    store.close().await;
    drop(store);
    let path = dir.path().join("patterns");
    let file = std::fs::read(&path).unwrap();
    let json = zstd::bulk::decompress(&file[16..], 1 << 20).unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(file[8], 1, "an older release must be able to read it");
    for pattern in json["patterns"].as_array_mut().unwrap() {
        assert!(!pattern.as_object_mut().unwrap().remove("versions").unwrap().as_array().unwrap().is_empty());
    }
    let packed = zstd::bulk::compress(&serde_json::to_vec(&json).unwrap(), 1).unwrap();
    let mut older = file[..12].to_vec();
    older.extend(crc32c::crc32c(&packed).to_le_bytes());
    older.extend(packed);
    std::fs::write(&path, older).unwrap();
    let store = open(dir.path());
    let all = PatternRequest { from_ns: i64::MIN, to_ns: i64::MAX, ever: true, ..PatternRequest::default() };
    // the segment still tells its versions
    assert_eq!(ask(&store, &all).await, truth(&lines, &all));
    let none = PatternRequest { from_ns: NOW, ..all };
    let known = store.snapshot().log_patterns(none).await.unwrap().patterns;
    assert!(!known.is_empty());
    assert!(known.iter().all(|pattern| pattern.versions.is_empty() && pattern.known_since_ns < NOW));
    store.close().await;
}

#[tokio::test]
async fn versions_of_a_pattern_are_bounded_the_first_and_the_latest_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let start = NOW - 3_000 * SECOND;
    let mut sent = v1::Payload { identities: vec![identity("shop", "cart")], ..v1::Payload::default() };
    for at in 0..40 {
        let mut row = line(0, start + at * SECOND, "info", b"one line");
        row.attributes.insert("service.version".to_owned(), format!("1.{at}"));
        sent.logs.push(row);
    }
    store.append(&batch("n", 1, 1, &sent), NOW).await.unwrap();
    store.seal(NOW).await.unwrap();
    let none = PatternRequest { from_ns: NOW, to_ns: NOW + 1, ever: true, ..PatternRequest::default() };
    let known = store.snapshot().log_patterns(none.clone()).await.unwrap().patterns;
    let names: Vec<&str> = known[0].versions.iter().map(|version| version.version.as_str()).collect();
    let expected: Vec<String> = std::iter::once(0).chain(25..40).map(|at| format!("1.{at}")).collect();
    assert_eq!(names, expected);
    // beyond 32 versions those of a question's lines are counted together
    let all = PatternRequest { from_ns: i64::MIN, ..none };
    let found = store.snapshot().log_patterns(all.clone()).await.unwrap().patterns.remove(0);
    let lines: u64 = found.versions.iter().map(|version| version.lines).sum();
    let other = found.versions.iter().find(|version| version.version == "(other)").unwrap();
    assert_eq!((found.lines, lines, other.lines), (40, 40, 8));
    // the one that is asked for is not among the others, though it came last
    let last = PatternRequest { version: Some("1.39".to_owned()), ..all };
    let found = store.snapshot().log_patterns(last).await.unwrap().patterns.remove(0);
    assert_eq!(found.lines, 1);
    store.close().await;
}
