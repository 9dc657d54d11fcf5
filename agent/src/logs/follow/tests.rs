//! Files that are rotated, truncated and deleted under a reader that is stopped and killed: every line exactly once.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use daemon::clock::Clock;

use super::{Follower, FollowerDeps};
use crate::identity::Identities;
use crate::logs::annotations::Annotations;
use crate::logs::checkpoint::{Checkpoints, Mark, merge_marks};
use crate::logs::config::{From, LogsConfig};
use crate::logs::owner::Owners;
use crate::logs::random::Random;
use crate::logs::record::Chunk;
use crate::logs::redact::{RawText, Rules, redact};
use crate::logs::status::LogStatus;
use crate::window::sample::Owner;

mod annotations;
mod hostile;
mod kubelet;
mod model;
mod rotation;
mod speed;

const NOW: u64 = 1_795_267_499_000_000_000;

/// A reader over a directory of its own, with what it made durable.
struct Bench {
    root: tempfile::TempDir,
    config: LogsConfig,
    clock: Clock,
    rules: Arc<Rules>,
    status: Arc<LogStatus>,
    /// Where pods are told of.
    identities: Option<Arc<Mutex<Identities>>>,
    checkpoints: Checkpoints,
    follower: Option<Follower>,
    /// Read, and not yet durable.
    in_flight: Vec<Chunk>,
    /// Marks of durable chunks that the checkpoint file may not have.
    spool: Vec<Vec<Mark>>,
    bodies: Vec<String>,
}

impl Bench {
    fn new(configure: impl FnOnce(&Path, &mut LogsConfig)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let logs = root.path().canonicalize().unwrap().join("logs");
        fs::create_dir(&logs).unwrap();
        let glob = logs.join("*.log").to_str().unwrap().to_owned();
        let mut config = LogsConfig { globs: vec![glob], containers: Vec::new(), ..LogsConfig::default() };
        configure(&logs, &mut config);
        let checkpoints = Checkpoints::open(&root.path().join("state")).unwrap();
        Self {
            root,
            config,
            clock: Clock::manual(NOW),
            rules: Arc::new(Rules::build(&[]).unwrap()),
            status: Arc::default(),
            identities: None,
            checkpoints,
            follower: None,
            in_flight: Vec::new(),
            spool: Vec::new(),
            bodies: Vec::new(),
        }
    }

    fn plain() -> Self {
        Self::new(|_, _| {})
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().canonicalize().unwrap().join("logs").join(name)
    }

    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    fn start(&mut self) {
        let deps = FollowerDeps {
            rules: Arc::clone(&self.rules),
            checkpoints: self.checkpoints.clone(),
            clock: self.clock.clone(),
            owners: Owners::new(None, 0, Default::default(), self.clock.clone()),
            annotations: Annotations::new(self.identities.clone(), self.config.unknown_pods.clone()),
            status: Arc::clone(&self.status),
        };
        let mut follower = Follower::new(&self.config, deps);
        follower.start();
        self.follower = Some(follower);
    }

    fn scan(&mut self) {
        self.follower.as_mut().unwrap().scan();
    }

    /// Reads what one pass finds.
    fn read(&mut self) -> bool {
        let in_flight = &mut self.in_flight;
        self.follower.as_mut().unwrap().read(&mut |chunk| {
            in_flight.push(chunk);
            true
        })
    }

    /// A second passes.
    fn tick(&mut self) {
        self.clock.advance(Duration::from_secs(1));
        self.follower.as_mut().unwrap().expire();
    }

    /// The oldest chunks, up to this many, become durable together.
    fn ack(&mut self, chunks: usize) {
        let count = chunks.min(self.in_flight.len());
        let batch: Vec<Chunk> = self.in_flight.drain(..count).collect();
        let marks = merge_marks(&batch);
        self.bodies
            .extend(batch.iter().flat_map(|chunk| &chunk.records).map(|record| text(&record.row.body)));
        self.checkpoints.commit(&marks);
        self.spool.push(marks);
    }

    fn persist(&mut self) {
        self.checkpoints.persist(self.clock.now_unix_ns()).unwrap();
        self.spool.clear();
    }

    /// kill -9: what was not durable is gone.
    fn kill(&mut self) {
        self.follower = None;
        self.in_flight.clear();
        self.checkpoints = Checkpoints::open(&self.root.path().join("state")).unwrap();
        for marks in &self.spool {
            self.checkpoints.commit(marks);
        }
    }

    /// Reads all there is and makes it durable.
    fn settle(&mut self) {
        for _ in 0..4 {
            self.tick();
            self.scan();
            while self.read() {}
        }
        self.ack(usize::MAX);
    }

    #[track_caller]
    fn expect(&mut self, expected: &[&str]) {
        self.settle();
        assert_eq!(self.bodies, expected);
    }
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}

#[test]
fn the_first_start_skips_what_is_there_and_reads_what_comes() {
    let mut bench = Bench::plain();
    bench.append("a.log", "old\n");
    bench.start();
    bench.append("a.log", "new\n");
    bench.append("b.log", "later file\n");
    bench.expect(&["new", "later file"]);
}

#[test]
fn from_the_beginning_reads_all() {
    let mut bench = Bench::new(|_, config| config.from = From::Beginning);
    bench.append("a.log", "old\r\nbad \u{1}\n");
    bench.start();
    bench.expect(&["old", "bad \u{1}"]);
}

#[test]
fn a_restart_goes_on_where_it_was_and_reads_files_made_meanwhile() {
    let mut bench = Bench::plain();
    bench.append("a.log", "old\n");
    bench.start();
    bench.append("a.log", "one\n");
    bench.settle();
    bench.kill();
    bench.append("a.log", "two\n");
    bench.append("c.log", "while stopped\n");
    bench.start();
    bench.expect(&["one", "two", "while stopped"]);
}

#[test]
fn what_was_skipped_stays_skipped_after_a_kill() {
    let mut bench = Bench::plain();
    bench.append("a.log", "old\n");
    bench.start();
    bench.kill();
    bench.append("a.log", "new\n");
    bench.start();
    bench.expect(&["new"]);
}

#[test]
fn truncation_without_a_copy_starts_again() {
    let mut bench = Bench::plain();
    bench.append("a.log", "");
    bench.start();
    bench.append("a.log", "one\n");
    bench.settle();
    File::create(bench.path("a.log")).unwrap();
    bench.append("a.log", "two\n");
    bench.expect(&["one", "two"]);
}

#[test]
fn an_unfinished_line_waits_for_its_end_also_over_a_restart() {
    let mut bench = Bench::plain();
    bench.append("a.log", "");
    bench.start();
    bench.append("a.log", "one\ntw");
    bench.settle();
    bench.kill();
    bench.start();
    bench.append("a.log", "o\n");
    bench.expect(&["one", "two"]);
}

#[test]
fn a_deleted_file_is_read_to_its_end_and_closed_after_30_seconds() {
    let mut bench = Bench::plain();
    bench.append("a.log", "");
    bench.start();
    bench.append("a.log", "one\ntwo without end");
    fs::remove_file(bench.path("a.log")).unwrap();
    bench.settle();
    assert_eq!(bench.bodies, ["one"]);
    bench.clock.advance(Duration::from_secs(31));
    bench.settle();
    assert_eq!(bench.bodies, ["one", "two without end"]);
    assert_eq!(bench.status.open_files.get(), 0);
}

#[test]
fn lines_of_a_deleted_file_that_could_not_be_read_in_time_are_counted() {
    let mut bench = Bench::plain();
    bench.append("a.log", "");
    bench.start();
    bench.append("a.log", "one\ntwo\nthree");
    fs::remove_file(bench.path("a.log")).unwrap();
    bench.tick();
    bench.clock.advance(Duration::from_secs(31));
    bench.tick();
    let losses = bench.status.take_losses();
    assert_eq!(
        losses.iter().map(|loss| (loss.reason, loss.count)).collect::<Vec<_>>(),
        [("deleted_unread", 3)]
    );
}

#[test]
fn a_line_of_a_mebibyte_is_whole_and_a_longer_one_is_cut_and_marked() {
    let mut bench = Bench::plain();
    bench.append("a.log", "");
    bench.start();
    let whole = "w".repeat(proto::MAX_LOG_BODY_BYTES);
    bench.append("a.log", format!("{whole}\n{whole}x\n{whole}{whole}{whole}\nnext\n"));
    for _ in 0..4 {
        bench.tick();
        while bench.read() {}
    }
    let rows: Vec<_> =
        bench.in_flight.iter().flat_map(|chunk| &chunk.records).map(|record| &record.row).collect();
    let shape: Vec<(usize, bool)> = rows.iter().map(|row| (row.body.len(), row.truncated)).collect();
    let most = proto::MAX_LOG_BODY_BYTES;
    assert_eq!(shape, [(most, false), (most, true), (most, true), (4, false)]);
    assert_eq!(bench.status.truncated.get(), 2);
}

#[test]
fn bad_utf_8_is_kept() {
    let mut bench = Bench::plain();
    bench.append("a.log", "");
    bench.start();
    bench.append("a.log", b"caf\xe9\n");
    bench.tick();
    bench.read();
    assert_eq!(&bench.in_flight[0].records[0].row.body[..], b"caf\xe9");
}

#[test]
fn excluded_and_surplus_files_are_not_read() {
    let mut bench = Bench::new(|logs, config| {
        config.exclude = vec![logs.join("no*").to_str().unwrap().to_owned()];
        config.max_files = 2;
    });
    bench.start();
    for name in ["a.log", "b.log", "c.log", "no.log"] {
        bench.append(name, format!("{name}\n"));
    }
    bench.expect(&["a.log", "b.log"]);
    assert_eq!(bench.status.unfollowed_files.get(), 1);
    assert!(bench.status.missing()[0].contains("max_files (2)"));
}

#[test]
fn a_rate_limit_drops_and_counts() {
    let mut bench = Bench::new(|_, config| config.max_lines_per_second = 2);
    bench.append("a.log", "");
    bench.start();
    bench.append("a.log", "1\n2\n3\n4\n");
    bench.expect(&["1", "2"]);
    let losses = bench.status.take_losses();
    assert_eq!(losses.iter().map(|loss| (loss.reason, loss.count)).collect::<Vec<_>>(), [("rate_limit", 2)]);
}

#[test]
fn a_rate_limit_counts_records_as_deliveries_are() {
    let mut bench = Bench::new(|_, config| {
        config.max_lines_per_second = 2;
        config.multiline.files = true;
    });
    bench.append("a.log", "");
    bench.start();
    bench.append("a.log", "1\n  one\n  more\n2\n  two\n3\n");
    bench.tick();
    while bench.read() {}
    bench.clock.advance(Duration::from_millis(600));
    bench.follower.as_mut().unwrap().flush();
    while bench.read() {}
    bench.ack(usize::MAX);
    let lost: u64 = bench.status.take_losses().iter().map(|loss| loss.count).sum();
    assert_eq!((bench.bodies.len() as u64 + lost, lost > 0), (3, true), "{:?}", bench.bodies);
}

#[test]
fn a_named_globs_lines_belong_to_its_workload() {
    let mut bench = Bench::new(|logs, config| {
        let glob = logs.join("shop*").to_str().unwrap().to_owned();
        config.workloads = vec![crate::logs::config::WorkloadGlob { glob, workload: "shop".to_owned() }];
    });
    bench.start();
    bench.append("shop.log", "x\n");
    bench.scan();
    bench.tick();
    bench.read();
    assert_eq!(bench.in_flight[0].records[0].owner, crate::window::sample::Owner::Named("shop".to_owned()));
}

#[test]
fn parts_of_a_containers_line_are_joined_per_stream_and_over_files() {
    let mut bench = Bench::new(|logs, config| {
        config.globs.clear();
        config.containers = vec![logs.join("*/*/*.log").to_str().unwrap().to_owned()];
    });
    fs::create_dir_all(bench.path("shop_cart_uid/app")).unwrap();
    bench.start();
    let name = "shop_cart_uid/app/0.log";
    let time = "2026-11-21T13:24:58Z";
    bench.append(name, format!("{time} stdout P one-\n{time} stderr F err\n{time} stdout P two-\n"));
    bench.settle();
    assert_eq!(bench.bodies, ["err"]);
    bench.kill();
    fs::rename(bench.path(name), bench.path("shop_cart_uid/app/0.log.20261121-132459")).unwrap();
    bench.append(name, format!("{time} stdout P three-\n{time} stderr F err2\n"));
    bench.start();
    bench.settle();
    assert_eq!(bench.bodies, ["err", "err2"]);
    bench.kill();
    bench.start();
    bench.append(name, format!("{time} stdout F four\n{time} stdout F five\n"));
    bench.expect(&["err", "err2", "one-two-three-four", "five"]);
    bench.kill();
    bench.start();
    bench.append(name, format!("{time} stdout F six\n"));
    // a record goes out once it is quiet
    for _ in 0..2 {
        bench.tick();
        bench.scan();
        bench.read();
    }
    let row = &bench.in_flight[0].records[0].row;
    let attributes: BTreeMap<&str, &str> =
        row.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(attributes["k8s.pod.name"], "cart");
    assert_eq!((row.stream.as_str(), &row.body[..]), ("stdout", &b"six"[..]));
    assert_eq!(row.ts, NOW - 1_000_000_000);
}

#[test]
fn a_trace_in_pieces_over_a_rotation_and_a_kill_is_one_record_and_waits_until_it_is_quiet() {
    let mut bench = Bench::new(|logs, config| {
        config.globs.clear();
        config.containers = vec![logs.join("*.log").to_str().unwrap().to_owned()];
    });
    bench.append("a.log", "");
    bench.start();
    let time = "2026-11-21T13:24:58Z";
    bench.append("a.log", format!("{time} stdout F E: x\n{time} stderr F other\n{time} stdout F  at 1\n"));
    bench.scan();
    bench.read();
    bench.ack(usize::MAX);
    assert_eq!(bench.bodies, [""; 0], "both wait for more");
    bench.append("a.log", format!("{time} stderr F next\n"));
    bench.tick();
    bench.read();
    bench.ack(usize::MAX);
    assert_eq!(bench.bodies, ["other"]);
    bench.kill();
    fs::rename(bench.path("a.log"), bench.path("a.log.1")).unwrap();
    bench.append("a.log", format!("{time} stdout F  at 2\n{time} stdout F E: y\n"));
    bench.start();
    while bench.read() {}
    bench.ack(usize::MAX);
    assert_eq!(bench.bodies, ["other", "E: x\n at 1\n at 2"]);
    bench.expect(&["other", "E: x\n at 1\n at 2", "E: y", "next"]);
    bench.kill();
    bench.start();
    bench.append("a.log", format!("{time} stdout F  late\n"));
    bench.expect(&["other", "E: x\n at 1\n at 2", "E: y", "next", " late"]);
}

#[test]
fn a_private_key_stays_hidden_over_a_restart() {
    let mut bench = Bench::plain();
    bench.append("a.log", "");
    bench.start();
    bench.append("a.log", "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n");
    bench.settle();
    bench.kill();
    bench.start();
    bench.append("a.log", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\nplain\n");
    let hidden = "[redacted:private_key]";
    bench.expect(&[hidden, hidden, hidden, hidden, "plain"]);
}
