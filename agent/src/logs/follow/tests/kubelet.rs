//! Containers' logs as kubelet keeps them: a symbolic link in another directory leads to them, `0.log` is renamed to
//! `0.log.<time>`, the one before is compressed, and only the newest are kept.

use std::os::unix::fs::symlink;

use super::*;

const DIRECTORY: &str = "pods/shop_cart_uid/app";
/// Rotated files that kubelet keeps.
const KEPT: usize = 4;

/// A container that writes numbered lines, and the kubelet that rotates them.
struct Kubelet {
    bench: Bench,
    written: usize,
    rotations: usize,
}

impl Kubelet {
    fn new() -> Self {
        let bench = Bench::new(|logs, config| {
            let glob = |name: &str| vec![logs.join(name).to_str().unwrap().to_owned()];
            // as the defaults are: the second finds the links to what the first finds
            config.containers = glob("pods/*/*/*.log");
            config.globs = glob("*/*.log");
        });
        fs::create_dir_all(bench.path("containers")).unwrap();
        fs::create_dir_all(bench.path("pods")).unwrap();
        Self { bench, written: 0, rotations: 0 }
    }

    /// The container starts.
    fn create(&mut self) {
        fs::create_dir_all(self.bench.path(DIRECTORY)).unwrap();
        self.open();
        symlink(self.log(), self.bench.path("containers/cart_shop_app-0123.log")).unwrap();
    }

    fn log(&self) -> PathBuf {
        self.bench.path(&format!("{DIRECTORY}/0.log"))
    }

    fn rotated(&self, rotation: usize) -> PathBuf {
        self.bench.path(&format!("{DIRECTORY}/0.log.20261121-22{rotation:04}"))
    }

    fn compressed(&self, rotation: usize) -> PathBuf {
        self.bench.path(&format!("{DIRECTORY}/0.log.20261121-22{rotation:04}.gz"))
    }

    fn open(&self) {
        self.bench.append(&format!("{DIRECTORY}/0.log"), "");
    }

    fn write(&mut self, lines: usize) {
        let mut text = String::new();
        for number in self.written..self.written + lines {
            text += &format!("2026-11-21T13:24:58.123456789Z stdout F line {number}\n");
        }
        self.bench.append(&format!("{DIRECTORY}/0.log"), text);
        self.written += lines;
    }

    /// The first half of a rotation: the log's name is gone.
    fn rename(&mut self) {
        if self.rotations > 0 && self.rotated(self.rotations).try_exists().unwrap() {
            let temporary = self.compressed(self.rotations).with_extension("tmp");
            fs::write(&temporary, "compressed").unwrap();
            fs::rename(temporary, self.compressed(self.rotations)).unwrap();
            fs::remove_file(self.rotated(self.rotations)).unwrap();
        }
        self.rotations += 1;
        if self.rotations > KEPT {
            fs::remove_file(self.compressed(self.rotations - KEPT)).unwrap();
        }
        fs::rename(self.log(), self.rotated(self.rotations)).unwrap();
    }

    fn rotate(&mut self) {
        self.rename();
        self.open();
    }

    /// As the reading thread does after an event.
    fn look(&mut self) {
        self.bench.scan();
        while self.bench.read() {}
    }

    fn owners_are_the_pod(&self) -> bool {
        let is_pod = |owner: &Owner| matches!(owner, Owner::Pod(_));
        self.bench.in_flight.iter().flat_map(|chunk| &chunk.records).all(|record| is_pod(&record.owner))
    }

    #[track_caller]
    fn expect_all_but(&mut self, lost: std::ops::Range<usize>) {
        for _ in 0..4 {
            self.bench.tick();
            self.bench.scan();
            while self.bench.read() {}
        }
        assert!(self.owners_are_the_pod());
        let all = (0..self.written).filter(|number| !lost.contains(number));
        let expected: Vec<String> = all.map(|number| format!("line {number}")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        self.bench.expect(&expected);
    }

    fn losses(&self) -> Vec<(&'static str, u64)> {
        self.bench.status.take_losses().iter().map(|loss| (loss.reason, loss.count)).collect()
    }
}

#[test]
fn a_new_containers_rotations_lose_nothing_though_a_link_leads_to_its_log() {
    for kill_after in [None, Some(1), Some(2), Some(3)] {
        let mut kubelet = Kubelet::new();
        kubelet.bench.start();
        kubelet.create();
        kubelet.write(10);
        kubelet.look();
        for rotation in 1..=6 {
            kubelet.rotate();
            kubelet.write(10);
            kubelet.look();
            kubelet.write(10);
            kubelet.look();
            if kill_after == Some(rotation) {
                assert!(kubelet.owners_are_the_pod());
                // later, the oldest file is gone: what of it is not durable is lost
                kubelet.bench.ack(if rotation == 1 { 1 } else { usize::MAX });
                kubelet.bench.kill();
                kubelet.bench.start();
            }
        }
        kubelet.expect_all_but(0..0);
        if kill_after.is_none() {
            assert_eq!(kubelet.losses(), []);
        }
    }
}

#[test]
fn a_look_between_the_renaming_and_the_new_file_changes_nothing() {
    let mut kubelet = Kubelet::new();
    kubelet.bench.start();
    kubelet.create();
    for _ in 0..6 {
        kubelet.write(10);
        kubelet.look();
        kubelet.rename();
        kubelet.look();
        kubelet.open();
        kubelet.look();
    }
    kubelet.write(10);
    kubelet.expect_all_but(0..0);
    assert_eq!(kubelet.losses(), []);
}

#[test]
fn two_rotations_between_two_looks_lose_nothing() {
    let mut kubelet = Kubelet::new();
    kubelet.bench.start();
    kubelet.create();
    kubelet.look();
    for _ in 0..4 {
        for _ in 0..2 {
            kubelet.write(10);
            kubelet.rotate();
        }
        kubelet.write(10);
        kubelet.look();
    }
    kubelet.expect_all_but(0..0);
    assert_eq!(kubelet.losses(), []);
}

#[test]
fn what_was_compressed_between_two_looks_is_a_loss() {
    let mut kubelet = Kubelet::new();
    kubelet.bench.start();
    kubelet.create();
    kubelet.write(10);
    kubelet.look();
    for _ in 0..3 {
        kubelet.rotate();
        kubelet.write(10);
    }
    kubelet.look();
    assert_eq!(kubelet.losses(), [("rotated_away", 1)]);
    kubelet.rotate();
    kubelet.write(10);
    kubelet.expect_all_but(10..20);
    assert_eq!(kubelet.losses(), []);
}

#[test]
fn what_was_compressed_before_a_new_log_was_seen_is_a_loss() {
    let mut kubelet = Kubelet::new();
    kubelet.bench.start();
    kubelet.create();
    for _ in 0..3 {
        kubelet.write(10);
        kubelet.rotate();
    }
    kubelet.write(10);
    kubelet.expect_all_but(0..20);
    assert_eq!(kubelet.losses(), [("rotated_away", 2)]);
}

#[test]
fn what_was_compressed_while_stopped_is_a_loss() {
    let mut kubelet = Kubelet::new();
    kubelet.bench.start();
    kubelet.create();
    kubelet.write(10);
    kubelet.look();
    kubelet.bench.ack(usize::MAX);
    kubelet.bench.kill();
    for _ in 0..4 {
        kubelet.rotate();
        kubelet.write(10);
    }
    kubelet.bench.start();
    // of the first the last line, which might have gone on; the second and the third were never seen
    assert_eq!(kubelet.losses(), [("rotated_away", 3)]);
    kubelet.expect_all_but(9..30);
    assert_eq!(kubelet.losses(), []);
}

#[test]
fn a_file_that_is_compressed_long_after_it_was_read_is_no_loss() {
    let mut kubelet = Kubelet::new();
    kubelet.bench.start();
    kubelet.create();
    for _ in 0..4 {
        kubelet.write(10);
        kubelet.look();
        kubelet.rotate();
        kubelet.look();
        kubelet.bench.clock.advance(Duration::from_secs(400));
        kubelet.bench.tick();
    }
    kubelet.write(10);
    kubelet.expect_all_but(0..0);
    assert_eq!(kubelet.losses(), []);
}

#[test]
fn logs_that_wait_for_room_are_followed_by_one_name() {
    let mut kubelet = Kubelet::new();
    kubelet.create();
    kubelet.write(10);
    kubelet.bench.config.max_files = 1;
    kubelet.bench.append("containers/a.log", "");
    kubelet
        .bench
        .config
        .containers
        .insert(0, kubelet.bench.path("containers/a*").to_str().unwrap().to_owned());
    kubelet.bench.start();
    fs::remove_file(kubelet.bench.path("containers/a.log")).unwrap();
    kubelet.bench.tick();
    kubelet.bench.clock.advance(Duration::from_secs(31));
    kubelet.bench.tick();
    kubelet.bench.follower.as_mut().unwrap().max_files = 8;
    for _ in 0..3 {
        kubelet.write(10);
        kubelet.look();
        kubelet.rotate();
    }
    kubelet.expect_all_but(0..10);
    assert_eq!(kubelet.losses(), []);
}

#[test]
fn a_checkpoint_of_the_links_name_goes_on_under_the_logs_own() {
    let mut kubelet = Kubelet::new();
    let containers = std::mem::take(&mut kubelet.bench.config.containers);
    kubelet.bench.start();
    kubelet.create();
    kubelet.write(10);
    kubelet.look();
    kubelet.bench.ack(usize::MAX);
    assert!(kubelet.bench.bodies[9].ends_with("stdout F line 9"), "as any other file");
    kubelet.bench.bodies.clear();
    kubelet.bench.persist();
    kubelet.bench.kill();
    kubelet.bench.config.containers = containers;
    kubelet.write(10);
    kubelet.bench.start();
    kubelet.rotate();
    kubelet.write(10);
    kubelet.expect_all_but(0..10);
    assert_eq!(kubelet.losses(), []);
}

#[test]
fn what_is_excluded_is_not_read_by_way_of_a_link() {
    let mut kubelet = Kubelet::new();
    kubelet.bench.config.exclude = vec![kubelet.bench.path("pods/shop_*/*/*").to_str().unwrap().to_owned()];
    kubelet.bench.start();
    kubelet.create();
    kubelet.write(10);
    kubelet.look();
    kubelet.rotate();
    kubelet.write(10);
    kubelet.expect_all_but(0..20);
}
