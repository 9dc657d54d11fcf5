//! Which kinds of lines there are, and what is new, gone or surging among them.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::fleet::{Fleet, Part};

/// Kind of line, and how many of it were written: five hours ago, in the hour before the last, and in the last.
const WRITTEN: [(&str, [u64; 3]); 6] = [
    ("order {} paid in {} ms", [4, 20, 22]),
    ("cache miss for key=k{}", [0, 7, 0]),
    ("disk {} is failing", [0, 0, 6]),
    ("retry {} of job", [0, 3, 15]),
    ("session {} opened", [2, 0, 12]),
    ("heartbeat {}", [1, 0, 5]),
];
const MINUTES_AGO: [u64; 3] = [300, 90, 15];

#[test]
fn patterns_are_counted_and_compared_with_the_time_before() {
    let mut fleet = Fleet::logs_only();
    let mut text = String::new();
    for (age, minutes) in MINUTES_AGO.iter().enumerate() {
        let at = time(*minutes);
        for (kind, counts) in WRITTEN {
            for line in 0..counts[age] {
                text.push_str(&format!("{at} {}\n", kind.replace("{}", &(line * 7 + 3).to_string())));
            }
        }
    }
    let lines = text.lines().count() as u64;
    fs::write(fleet.path("logs").join("app.log"), text).unwrap();
    fleet.start(Part::Aggregator);
    fleet.start(Part::Agent);
    fleet.ready(Part::Aggregator);
    fleet.poll("every line", || {
        let rows = fleet.rows(&["sql", "SELECT count(*) AS n FROM log WHERE workload = 'e2e'"])?;
        (rows.first()?["n"].as_u64()? == lines).then_some(())
    });
    // what is known for longer than both ranges is known of segments
    fleet.seal_soon();
    fleet.poll("segments of three hours", || (fleet.log_segments() >= 3).then_some(()));
    let shown = |show: &str, more: &[&str]| -> Vec<(String, u64, Option<u64>)> {
        let args = ["patterns", "--since", "1h", "--show", show, "workload=e2e"];
        let rows = fleet.rows(&[&args[..], more].concat()).unwrap();
        let mut rows: Vec<_> = rows.iter().map(said).collect();
        rows.sort();
        rows
    };
    let truth = |keep: &dyn Fn([u64; 3]) -> bool, lines: &dyn Fn([u64; 3]) -> (u64, Option<u64>)| {
        let kept = WRITTEN.iter().filter(|(_, counts)| keep(*counts));
        let mut rows: Vec<_> = kept
            .map(|(kind, counts)| {
                let (now, before) = lines(*counts);
                (format!("<*> {}", kind.replace("{}", "<*>").replace("key=k<*>", "key=<*>")), now, before)
            })
            .collect();
        rows.sort();
        rows
    };
    let both = |[_, before, now]: [u64; 3]| (now, Some(before));
    assert_eq!(shown("top", &[]), truth(&|[_, _, now]| now > 0, &|[_, _, now]| (now, None)));
    assert_eq!(shown("new", &[]), truth(&|[long, before, _]| long + before == 0, &both));
    assert_eq!(shown("gone", &[]), truth(&|[_, before, now]| before > 0 && now == 0, &both));
    let surging = |[_, before, now]: [u64; 3]| now >= 10 && now >= 4 * before;
    assert_eq!(shown("surging", &[]), truth(&surging, &both));
    let found = shown("top", &["-t", "retry", "-t", "of job"]);
    assert_eq!(found, [("<*> retry <*> of job".to_owned(), 15, None)]);
    assert!(shown("top", &["-t", "Retry"]).is_empty());
}

fn said(row: &Value) -> (String, u64, Option<u64>) {
    (
        row["pattern"].as_str().unwrap().to_owned(),
        row["lines"].as_u64().unwrap(),
        row["lines_before"].as_u64(),
    )
}

/// So many minutes ago, RFC 3339.
fn time(minutes: u64) -> String {
    let ago = format!("-{minutes} minutes");
    let output = Command::new("date").args(["-u", "-d", &ago, "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
