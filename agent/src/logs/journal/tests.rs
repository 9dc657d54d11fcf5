//! Against a program that writes the export format and goes on as journalctl does.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use daemon::clock::Clock;

use super::{Deps, Journal};
use crate::logs::annotations::Annotations;
use crate::logs::checkpoint::{Checkpoints, merge_marks};
use crate::logs::config::{From, JournalConfig, LogsConfig};
use crate::logs::owner::Owners;
use crate::logs::record::{Chunk, LogRecord};
use crate::logs::redact::Rules;
use crate::logs::status::LogStatus;
use crate::logs::stop::Stop;
use crate::window::sample::Owner;

/// 2026-11-21T13:24:59Z
const NOW: u64 = 1_795_267_499_000_000_000;

/// Writes the entries behind the cursor that it is given, then waits for its end.
fn fake(directory: &Path, entries: &[&str]) -> String {
    let mut script = "#!/bin/sh\nafter=0\nlast=all\nfor a in \"$@\"; do case $a in --after-cursor=*) after=${a#*=};; 1) last=1;; esac; done\n".to_owned();
    for (index, entry) in entries.iter().enumerate() {
        let cursor = index + 1;
        let is_last = if cursor == entries.len() { "true" } else { "false" };
        script.push_str(&format!(
            "if [ {cursor} -gt $after ] && {{ [ $last = all ] || {is_last}; }}; then printf '__CURSOR={cursor}\\n{entry}\\n\\n'; fi\n"
        ));
    }
    script.push_str("[ $last = 1 ] || exec sleep 100\n");
    let path = directory.join("journalctl");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn build(program: &str, state: &Path, from: From, clock: &Clock) -> (Journal, Checkpoints, Arc<LogStatus>) {
    let journal = JournalConfig { enabled: true, journalctl: program.to_owned() };
    let config = LogsConfig { from, journal, ..LogsConfig::default() };
    let checkpoints = Checkpoints::open(state).unwrap();
    let status = Arc::<LogStatus>::default();
    let deps = Deps {
        rules: Arc::new(Rules::build(&[]).unwrap()),
        checkpoints: checkpoints.clone(),
        clock: clock.clone(),
        owners: Owners::new(None, 0, Default::default(), clock.clone()),
        annotations: Annotations::new(None, Default::default()),
        status: Arc::clone(&status),
    };
    (Journal::new(&config, deps), checkpoints, status)
}

/// Runs it until so many records came, then makes them durable.
fn read(program: &str, state: &Path, from: From, count: usize) -> Vec<LogRecord> {
    let (journal, checkpoints, _) = build(program, state, from, &Clock::manual(NOW));
    let stop = Stop::new().unwrap();
    let mut records = Vec::new();
    journal.run(&stop, &mut |chunk: Chunk| {
        checkpoints.commit(&merge_marks([&chunk]));
        records.extend(chunk.records);
        records.len() < count
    });
    checkpoints.persist(NOW).unwrap();
    records
}

#[test]
fn entries_become_rows_and_a_restart_goes_on_behind_the_last() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let first = "__REALTIME_TIMESTAMP=1795267498000000\\nPRIORITY=3\\n_SYSTEMD_UNIT=a.service\\n_PID=7\\nMESSAGE=one password=x";
    let program = fake(directory.path(), &[first]);
    let records = read(&program, &state, From::Beginning, 1);
    let row = &records[0].row;
    assert_eq!(
        (row.ts, row.level.as_str(), row.source.as_str()),
        (NOW - 1_000_000_000, "error", "journald:a.service")
    );
    assert_eq!(&row.body[..], b"one password=[redacted:password]");
    assert_eq!(row.attributes["process.pid"], "7");
    assert_eq!(records[0].owner, Owner::Named("a.service".to_owned()));
    let program = fake(directory.path(), &[first, "_TRANSPORT=kernel\\nMESSAGE=two"]);
    let records = read(&program, &state, From::Beginning, 1);
    assert_eq!(&records[0].row.body[..], b"two");
    assert_eq!(records[0].owner, Owner::Host("kernel".to_owned()));
}

#[test]
fn the_first_start_skips_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    // the last entry's cursor is asked for first; what comes behind it is read
    let program = fake(directory.path(), &["MESSAGE=old", "MESSAGE=last"]);
    let text = std::fs::read_to_string(&program).unwrap();
    let grown = "if [ $last = all ] && [ 3 -gt $after ]; then printf '__CURSOR=3\\nMESSAGE=new\\n\\n'; fi\n[ $last = 1 ]";
    std::fs::write(&program, text.replace("[ $last = 1 ]", grown)).unwrap();
    let records = read(&program, &state, From::End, 1);
    let bodies: Vec<&[u8]> = records.iter().map(|record| &record.row.body[..]).collect();
    assert_eq!(bodies, [b"new"]);
}

/// A journalctl whose answer about the last entry is `last`, and which writes its arguments and one entry otherwise.
fn telling(directory: &Path, last: &str) -> String {
    let path = directory.join("journalctl");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *'-n 1'*) {last};; esac\nprintf '__CURSOR=9\\nMESSAGE=%s\\n\\n' \"$*\"\nexec sleep 100\n"
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The arguments of the journalctl that is followed.
fn arguments(program: &str, state: &Path) -> String {
    String::from_utf8(read(program, state, From::End, 1)[0].row.body.to_vec()).unwrap()
}

#[test]
fn an_end_that_is_not_told_does_not_become_all_history() {
    let directory = tempfile::tempdir().unwrap();
    let program = telling(directory.path(), "exit 1");
    let state = directory.path().join("state");
    // after a run that read nothing, as of an agent that was stopped at once
    let checkpoints = Checkpoints::open(&state).unwrap();
    checkpoints.set_globs(vec!["journald:".to_owned()]);
    checkpoints.persist(NOW).unwrap();
    let arguments = arguments(&program, &state);
    assert!(arguments.ends_with("--since=@1795267499"), "{arguments}");
}

#[test]
fn in_a_journal_that_was_empty_everything_is_new_also_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let clock = Clock::manual(NOW);
    let mut journal = build(&telling(directory.path(), "exit 0"), &state, From::End, &clock).0;
    journal.begin_at_end();
    drop(journal);
    let arguments = arguments(&telling(directory.path(), "exit 1"), &state);
    assert!(arguments.ends_with("--quiet"), "{arguments}");
}

#[test]
fn a_journalctl_that_ends_at_once_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("journalctl");
    let script = "#!/bin/sh\necho first >&2\necho 'no journal files' >&2\nexit 3\n";
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = program.to_str().unwrap();
    let state = directory.path().join("state");
    let (journal, _, status) = build(program, &state, From::Beginning, &Clock::manual(NOW));
    let stop = Stop::new().unwrap();
    let stopping = stop.clone();
    let thread = std::thread::spawn(move || journal.run(&stopping, &mut |_| true));
    let clock = Clock::system();
    let deadline = clock.monotonic() + std::time::Duration::from_secs(10);
    while status.missing().is_empty() && clock.monotonic() < deadline {
        stop.wait(None, std::time::Duration::from_millis(5));
    }
    stop.set();
    thread.join().unwrap();
    let sentence = format!("journald: {program}: exit status: 3: no journal files");
    assert_eq!(status.missing(), [sentence]);
}
