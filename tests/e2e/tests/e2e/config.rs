//! A wrong config is told whole, at once, and before anything starts.

use std::process::Command;

use crate::fleet::program;

#[track_caller]
fn check(name: &str, text: &str, expect: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yaml");
    std::fs::write(&file, text).unwrap();
    let output =
        Command::new(program(name)).arg("--config").arg(&file).arg("--check-config").output().unwrap();
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if expect.is_empty() {
        assert_eq!(output.status.code(), Some(0), "{told}");
    } else {
        assert_eq!(output.status.code(), Some(64), "{told}");
    }
    for path in expect {
        assert!(told.contains(path), "{path} is not named:\n{told}");
    }
}

#[test]
fn every_mistake_is_reported_with_its_key() {
    check(
        "wake-agent",
        "version: 1\nwindow: {seconds: 0}\nspool: {max_bytes: lots}\nprobes: {flowz: {enabled: true}}\n",
        &["window.seconds", "spool.max_bytes", "probes.flowz"],
    );
    check(
        "wake-aggregator",
        "version: 1\ningest: {max_agents: 0}\nstore: {disk_drop_percent: 101}\nquerry: {}\n",
        &["ingest.max_agents", "store.disk_drop_percent", "querry"],
    );
    check(
        "wake-aggregator",
        "version: 1\ningest: {listen: nowhere}\napi: {listen: \"127.0.0.1:x\"}\n",
        &["ingest.listen", "api.listen"],
    );
}

#[test]
fn the_annotated_example_is_a_valid_config() {
    for name in ["wake-agent", "wake-aggregator"] {
        let output = Command::new(program(name)).arg("--print-example-config").output().unwrap();
        let example = String::from_utf8(output.stdout).unwrap();
        assert!(example.lines().filter(|line| line.trim_start().starts_with('#')).count() > 20, "{example}");
        check(name, &example, &[]);
    }
}
