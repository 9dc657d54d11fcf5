use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use daemon::clock::Clock;

use super::{Deps, LogReader, Logs};
use crate::logs::checkpoint::{Checkpoints, merge_marks};
use crate::logs::config::{From, JournalConfig, LogsConfig};
use crate::logs::redact::Rules;

fn spawn(root: &std::path::Path, checkpoints: &Checkpoints) -> LogReader {
    let glob = |name: &str| vec![root.join(name).to_str().unwrap().to_owned()];
    let config = LogsConfig {
        globs: glob("*.log"),
        containers: glob("pods/*/*/*.log"),
        // the file is made while the thread starts
        from: From::Beginning,
        journal: JournalConfig { enabled: false, ..JournalConfig::default() },
        ..LogsConfig::default()
    };
    let rules = Arc::new(Rules::build(&[]).unwrap());
    let deps = Deps {
        rules,
        checkpoints: checkpoints.clone(),
        clock: Clock::system(),
        cgroup2: None,
        root_cgroup_id: 0,
        view: Default::default(),
        identities: None,
    };
    Logs::build(config, deps).spawn().unwrap()
}

/// Bodies until one is `last`, or a minute has passed: what inotify has missed is found ten seconds later, by a listing.
async fn until(reader: &mut LogReader, checkpoints: &Checkpoints, last: &str) -> Vec<String> {
    let mut bodies: Vec<String> = Vec::new();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while bodies.last().is_none_or(|body| body != last) {
        let Ok(chunk) = tokio::time::timeout_at(deadline, reader.next()).await else {
            panic!("{} lines in time, the last of them {:?}, and not {last:?}", bodies.len(), bodies.last());
        };
        let chunk = chunk.expect("running");
        bodies.extend(
            chunk.records.iter().map(|record| String::from_utf8_lossy(&record.row.body).into_owned()),
        );
        checkpoints.commit(&merge_marks([&chunk]));
    }
    bodies
}

#[tokio::test]
async fn what_is_written_arrives_and_a_restart_repeats_nothing() {
    let root = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(&root.path().join("state")).unwrap();
    let append = |text: &str| {
        let path = root.path().join("a.log");
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    };
    let mut reader = spawn(root.path(), &checkpoints);
    append("one\ntwo\n");
    assert_eq!(until(&mut reader, &checkpoints, "two").await, ["one", "two"]);
    reader.stop();
    while reader.next().await.is_some() {}
    drop(reader);
    append("three\n");
    let mut reader = spawn(root.path(), &checkpoints);
    assert_eq!(until(&mut reader, &checkpoints, "three").await, ["three"]);
}

#[tokio::test]
async fn a_new_containers_lines_arrive_once_while_its_log_is_rotated() {
    const ROTATIONS: usize = 4;
    const LINES: usize = 500;
    let root = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(&root.path().join("state")).unwrap();
    std::fs::create_dir(root.path().join("pods")).unwrap();
    let mut reader = spawn(root.path(), &checkpoints);
    let directory = root.path().join("pods/shop_cart_uid/app");
    std::fs::create_dir_all(&directory).unwrap();
    let log = directory.join("0.log");
    // the link is found by the other pattern
    std::os::unix::fs::symlink(&log, root.path().join("cart.log")).unwrap();
    for rotation in 0..ROTATIONS {
        let body = |number: usize| format!("line {}", rotation * LINES + number);
        let frame = |number| format!("2026-11-21T13:24:58.1Z stdout F {}\n", body(number));
        std::fs::write(&log, (0..LINES).map(frame).collect::<String>()).unwrap();
        let expected: Vec<String> = (0..LINES).map(body).collect();
        assert_eq!(until(&mut reader, &checkpoints, &expected[LINES - 1]).await, expected);
        std::fs::rename(&log, directory.join(format!("0.log.20261121-22000{rotation}"))).unwrap();
    }
    reader.stop();
    assert!(reader.next().await.is_none_or(|chunk| chunk.records.is_empty()), "and nothing more");
    assert_eq!(reader.take_losses(), []);
}
