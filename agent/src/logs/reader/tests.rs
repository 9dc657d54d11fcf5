use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use daemon::clock::Clock;

use super::{Deps, LogReader, Logs};
use crate::logs::checkpoint::{Checkpoints, merge_marks};
use crate::logs::config::{From, JournalConfig, LogsConfig};
use crate::logs::redact::Rules;

fn spawn(root: &std::path::Path, checkpoints: &Checkpoints) -> LogReader {
    let config = LogsConfig {
        globs: vec![root.join("*.log").to_str().unwrap().to_owned()],
        containers: Vec::new(),
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
    };
    Logs::build(config, deps).spawn().unwrap()
}

/// Bodies until one is `last`, or ten seconds have passed.
async fn until(reader: &mut LogReader, checkpoints: &Checkpoints, last: &str) -> Vec<String> {
    let mut bodies: Vec<String> = Vec::new();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while bodies.last().is_none_or(|body| body != last) {
        let chunk =
            tokio::time::timeout_at(deadline, reader.next()).await.expect("in time").expect("running");
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
