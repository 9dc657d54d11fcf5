//! The real binary in a container, which has no certificates of a system: plain HTTP needs none.
#![expect(clippy::disallowed_methods, reason = "its deadlines are the machine's time")]

use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn an_otlp_endpoint_of_plain_http_needs_no_certificates() {
    let directory = tempfile::tempdir().unwrap();
    let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let off: String = ["flows", "syscalls", "sched", "block", "process", "cgroups"]
        .iter()
        .map(|probe| format!("  {probe}: {{enabled: false}}\n"))
        .collect();
    let text = format!(
        "version: 1\nstate_dir: {}\nadmin: {{listen: '{admin}'}}\nprobes:\n{off}\
         export: {{kind: otlp, endpoint: 'http://127.0.0.1:1'}}\n\
         logs: {{globs: [], containers: [], journal: {{enabled: false}}}}\n",
        directory.path().join("state").display(),
    );
    let config = directory.path().join("agent.yaml");
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wake-agent"));
    command.arg("--config").arg(config).env("WAKE_LOG", "error").stdin(Stdio::null());
    let none = [("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "/dev/null")];
    let mut child = command.envs(none).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let answers = loop {
        if TcpStream::connect(&admin).is_ok() {
            break true;
        }
        if child.try_wait().unwrap().is_some() || Instant::now() > deadline {
            break false;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    };
    child.kill().ok();
    child.wait().unwrap();
    assert!(answers, "the agent ended, or never answered");
}
