//! Lines that threads write while they serve are found in the log again, each with its request; lines of nobody with none.
#![expect(
    clippy::disallowed_methods,
    reason = "lines are stamped with wall time as a container runtime does it"
)]

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agent::kernel::Settings;
use agent::probe::requests::PROBE;
use agent::requests::ids::hex;
use agent::requests::written::{Line, Print, Written};

use super::{NEEDS, spans, traffic};
use crate::cgroup::Cgroup;
use crate::child;
use crate::probes::Attached;
use crate::requires::{emulated, kernel_skipped, requires};

/// Requests of each of the child's eight clients.
const REQUESTS: usize = 50;
const ALL: usize = REQUESTS * 8;

/// A line: its file and place, or when it came through the pipe.
type Read = (Option<(u64, u64, u64)>, u64, String);

/// What became of the lines of one way.
#[derive(Debug, Default, PartialEq, Eq)]
struct Joined {
    right: usize,
    wrong: usize,
    open: usize,
    /// Lines that say no number, with a span.
    unnamed: usize,
}

/// Looks up each record, and compares with the number that it says.
fn joined(
    written: &Written,
    owner: u64,
    truth: &HashMap<String, String>,
    lines: &[(Line, String)],
) -> Joined {
    let mut joined = Joined::default();
    for (line, text) in lines {
        let found = written.lock().find(line, |writer| writer == owner);
        let said = text.split_once("r-").map(|(_, id)| format!("r-{id}"));
        match (said, found) {
            (Some(id), Some(found)) if truth[&id] == hex(&found.context.span_id) => joined.right += 1,
            (Some(_), Some(_)) => joined.wrong += 1,
            (Some(_), None) => joined.open += 1,
            (None, Some(_)) => joined.unnamed += 1,
            (None, None) => {}
        }
    }
    joined
}

/// Lines of the log as a reader makes records of them: those that are indented belong to the one before.
fn records(lines: &[Read]) -> Vec<(Line, String)> {
    let mut records: Vec<(Line, String)> = Vec::new();
    for (place, by_ns, text) in lines {
        let print = Print::of(text.as_bytes());
        match records.last_mut() {
            Some((line, _)) if text.starts_with(' ') => {
                (line.place, line.last) = (*place, print);
                line.lines += 1;
            }
            _ => {
                let line = Line { place: *place, first: print, last: print, lines: 1, by_ns: *by_ns };
                records.push((line, text.clone()));
            }
        }
    }
    records
}

#[test]
fn lines_find_the_request_that_their_thread_served() {
    const NAME: &str = "lines_find_the_request_that_their_thread_served";
    if !requires(NAME, NEEDS) {
        return;
    }
    let cgroup = Cgroup::new(crate::features(), "logs").unwrap();
    let path = std::env::temp_dir().join(format!("wake-lines-{}.log", std::process::id()));
    let written = Written::default();
    let mut probe = Attached::new(&PROBE, &Settings { written: written.clone(), ..Settings::default() });
    assert!(written.is_on());
    let mut command = child::command(&format!("http logs {REQUESTS}"));
    let command = cgroup.enter(&mut command).env(traffic::LOG_PATH, &path).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    // as a runtime's own process does: a line is stamped when it comes, whatever the probe is busy with
    let reader = std::thread::spawn(move || {
        let stamped = output.lines().map(|line| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            (None, u64::try_from(now.as_nanos()).unwrap(), line.unwrap())
        });
        stamped.collect::<Vec<Read>>()
    });
    while !reader.is_finished() {
        probe.poll();
        std::thread::sleep(Duration::from_millis(2));
    }
    let piped = reader.join().unwrap();
    assert!(child.wait().unwrap().success());
    probe.drain();
    if kernel_skipped(NAME, &probe.sink.losses) {
        return;
    }
    let truth: HashMap<String, String> = spans(&probe, &cgroup)
        .into_iter()
        .filter(|span| span.kind == "server")
        .map(|span| (span.attributes["http.request.header.x-request-id"].clone(), span.span_id))
        .collect();
    assert_eq!(truth.len(), ALL);

    let meta = fs::metadata(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let mut place = 0;
    let filed: Vec<_> = text
        .lines()
        .map(|line| {
            let start = place;
            place += line.len() as u64 + 1;
            (Some((meta.dev(), meta.ino(), start)), 0, line.to_owned())
        })
        .collect();
    // three records of each request say its number; the fourth does not
    let of_file = joined(&written, cgroup.id(), &truth, &records(&filed));
    assert_eq!((of_file.wrong, of_file.right + of_file.open), (0, 3 * ALL), "{of_file:?}");
    // a thread that had to wait before it wrote has no turn any more: how many do is up to the machine
    let enough = if emulated() { 3 * ALL / 2 } else { 3 * ALL * 3 / 4 };
    assert!(of_file.right >= enough && of_file.unnamed <= ALL, "{of_file:?}");
    let of_pipe = joined(&written, cgroup.id(), &truth, &records(&piped));
    assert_eq!((of_pipe.wrong, of_pipe.right + of_pipe.open), (0, 3 * ALL), "{of_pipe:?}");
    assert!(of_pipe.right >= enough, "{of_pipe:?}");
    eprintln!("lines of {ALL} requests: file {of_file:?}, pipe {of_pipe:?}");
}
