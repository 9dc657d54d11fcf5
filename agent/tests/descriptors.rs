//! The real binary where it may open few files: it says what it leaves out, and everything else goes on.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "what is wrong fails the test; its deadlines are the machine's time"
)]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The binary under these limits of open files, soft and hard, with so many logs to follow.
struct Agent {
    child: Child,
    admin: String,
    _directory: tempfile::TempDir,
}

impl Agent {
    fn start(soft: usize, hard: usize, logs: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir(at("logs")).unwrap();
        for index in 0..logs {
            std::fs::write(at(&format!("logs/{index}.log")), "").unwrap();
        }
        let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let off: String = ["flows", "syscalls", "sched", "block", "process", "cgroups"]
            .iter()
            .map(|probe| format!("  {probe}: {{enabled: false}}\n"))
            .collect();
        let text = format!(
            "version: 1\nstate_dir: {}\nwindow: {{seconds: 1}}\nadmin: {{listen: '{admin}'}}\nprobes:\n{off}\
             export: {{endpoint: 'http://127.0.0.1:1'}}\n\
             logs: {{globs: ['{}'], containers: [], journal: {{enabled: false}}}}\n",
            at("state").display(),
            at("logs/*.log").display(),
        );
        std::fs::write(at("agent.yaml"), text).unwrap();
        let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_wake-agent"), "--config"]);
        command.arg(at("agent.yaml")).env("WAKE_LOG", "error").stdin(Stdio::null());
        Self { child: command.spawn().unwrap(), admin, _directory: directory }
    }

    /// `/probes`, or nothing while it does not answer.
    fn probes(&self) -> String {
        let Ok(mut stream) = TcpStream::connect(&self.admin) else { return String::new() };
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut text = String::new();
        let request = "GET /probes HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let asked = stream.write_all(request.as_bytes());
        if asked.is_err() || stream.read_to_string(&mut text).is_err() {
            return String::new();
        }
        text
    }

    #[track_caller]
    fn until_it_says(&self, what: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let text = self.probes();
            if text.contains(what) {
                return text;
            }
            assert!(Instant::now() < deadline, "never said {what}: {text}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn open_files(&self) -> usize {
        let directory = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(Path::new(&directory)).unwrap().count()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_low_soft_limit_is_raised_and_cuts_nothing() {
    let agent = Agent::start(64, 4_096, 400);
    let deadline = Instant::now() + Duration::from_secs(30);
    while agent.open_files() < 400 {
        assert!(Instant::now() < deadline, "{} files are open", agent.open_files());
        std::thread::park_timeout(Duration::from_millis(50));
    }
    assert!(!agent.until_it_says("running").contains("max_files"));
}

#[test]
fn a_low_hard_limit_leaves_room_for_all_that_is_no_log() {
    let agent = Agent::start(64, 200, 400);
    // of 200 half are reserved; the logs that are left out are told
    let text = agent.until_it_says("max_files");
    assert!(!text.contains("cannot read"), "{text}");
    assert!(text.contains("descriptors: "), "{text}");
    assert!(agent.open_files() < 150, "{} files are open", agent.open_files());
}
