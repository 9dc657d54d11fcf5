//! Files that cannot be opened, names that are no files, lines that never end.

use std::fs;
use std::time::Duration;

use super::Bench;

impl Bench {
    /// A second name, in a directory where anybody may make one: the file is not opened any more.
    fn lock_up(&self, name: &str, is_locked: bool) {
        let logs = self.path("");
        let mode = if is_locked { 0o777 } else { 0o700 };
        fs::set_permissions(&logs, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let second = self.path("second name");
        if is_locked { fs::hard_link(self.path(name), second) } else { fs::remove_file(second) }.unwrap();
    }
}

#[test]
fn a_log_that_cannot_be_opened_at_a_start_goes_on_where_it_was_later() {
    let mut bench = Bench::plain();
    bench.append("a.log", "");
    bench.start();
    bench.append("a.log", "one\n");
    bench.settle();
    bench.kill();
    bench.lock_up("a.log", true);
    bench.append("a.log", "two\n");
    bench.start();
    bench.append("a.log", "three\n");
    bench.expect(&["one"]);
    let missing = bench.status.missing();
    assert!(missing.len() == 1 && missing[0].contains("a.log: a file of user"), "{missing:?}");
    bench.lock_up("a.log", false);
    bench.expect(&["one", "two", "three"]);
    assert!(bench.status.missing().is_empty());
}

#[test]
fn what_was_there_at_the_first_start_stays_skipped_though_it_found_no_room() {
    let mut bench = Bench::new(|_, config| config.max_files = 1);
    bench.append("a.log", "old a\n");
    bench.append("b.log", "old b\n");
    bench.start();
    assert_eq!(bench.status.unfollowed_files.get(), 1);
    bench.append("b.log", "b while there is no room\n");
    bench.expect(&[]);
    bench.kill();
    bench.start();
    fs::remove_file(bench.path("a.log")).unwrap();
    bench.tick();
    bench.clock.advance(Duration::from_secs(31));
    bench.expect(&["b while there is no room"]);
    assert!(bench.status.missing().is_empty());
    assert_eq!(bench.status.unfollowed_files.get(), 0);
}

#[test]
fn what_was_there_at_the_first_start_stays_skipped_though_it_could_not_be_opened() {
    let mut bench = Bench::plain();
    bench.append("a.log", "old\nunfin");
    bench.lock_up("a.log", true);
    bench.start();
    bench.append("a.log", "ished\nnew\n");
    bench.expect(&[]);
    bench.lock_up("a.log", false);
    bench.expect(&["unfinished", "new"]);
}

#[test]
fn a_fifo_under_a_logs_name_stops_nothing() {
    let mut bench = Bench::plain();
    bench.append("a.log", "");
    bench.append("b.log", "");
    bench.start();
    bench.append("a.log", "one\n");
    bench.settle();
    fs::rename(bench.path("a.log"), bench.path("a.log.1")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    for name in ["a.log", "a.log.2", "c.log"] {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, bench.path(name), fifo, mode, 0).unwrap();
    }
    bench.append("a.log.1", "two\n");
    bench.settle();
    bench.append("b.log", "three\n");
    bench.expect(&["one", "two", "three"]);
    bench.kill();
    bench.start();
    bench.append("b.log", "four\n");
    bench.expect(&["one", "two", "three", "four"]);
}

#[test]
fn parts_that_never_end_are_cut_before_they_fill_the_memory() {
    const PARTS: usize = 60;
    let mut bench = Bench::new(|logs, config| {
        config.globs.clear();
        config.containers = vec![logs.join("*/*/*.log").to_str().unwrap().to_owned()];
    });
    bench.start();
    let time = "2026-11-21T13:24:58Z";
    let part = format!("{time} stdout P {}\n", "p".repeat(16 << 10));
    let names: Vec<String> = (0..20).map(|pod| format!("shop_cart{pod}_uid/app/0.log")).collect();
    for name in &names {
        fs::create_dir_all(bench.path(name).parent().unwrap()).unwrap();
        bench.append(name, part.repeat(PARTS));
    }
    bench.settle();
    let held: usize = bench.follower.as_ref().unwrap().logs.values().map(super::super::Log::held_joins).sum();
    assert!(held <= super::super::held::MAX_PARTIAL_BYTES, "{held}");
    let cut = bench.bodies.len();
    assert!(cut > 0 && cut < names.len(), "{cut} of {}", names.len());
    assert_eq!(bench.status.truncated.get(), cut as u64);
    // neither twice nor lost after a restart
    bench.kill();
    bench.start();
    for name in &names {
        bench.append(name, format!("{time} stdout F end\n"));
    }
    bench.settle();
    let bytes: usize = bench.bodies.iter().map(String::len).sum();
    assert_eq!(bytes, names.len() * (PARTS * (16 << 10) + 3));
}
