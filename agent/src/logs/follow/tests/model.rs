//! A random writer against a reader that is stopped and killed at random points, from fixed seeds.

use super::*;

/// How the writer rotates.
#[derive(Clone, Copy, Debug)]
enum Rotation {
    Rename,
    CopyTruncate,
}

/// Files kept after a rotation: inodes of deleted ones are used again.
const KEPT: usize = 6;
/// Rotations in a row without the reader having read all.
const BLIND: usize = 4;

struct Writer {
    file: Option<File>,
    written: Vec<String>,
    /// The rest of a line whose beginning is written.
    rest: Option<String>,
    rotation: Rotation,
    blind: usize,
    is_container: bool,
}

impl Writer {
    fn open(&mut self, bench: &Bench) {
        let file = OpenOptions::new().create(true).append(true).open(bench.path("a.log"));
        self.file = Some(file.unwrap());
    }

    fn write(&mut self, bytes: &str) {
        self.file.as_mut().unwrap().write_all(bytes.as_bytes()).unwrap();
    }

    fn line(&mut self, random: &mut Random) {
        if let Some(rest) = self.rest.take() {
            self.write(&rest);
            return;
        }
        let number = self.written.len();
        // in containers, some continue the line before
        let indent = if self.is_container && random.below(3) == 0 { "  " } else { "" };
        let body = format!("{indent}line {number} {}", "x".repeat(random.below(60)));
        let (first, second) = body.split_at(random.below(body.len()));
        let (whole, first, rest) = if self.is_container {
            let stream = if random.below(2) == 0 { "stdout" } else { "stderr" };
            let frame = |tag: &str, text: &str| format!("2026-11-21T13:24:58Z {stream} {tag} {text}\n");
            (frame("F", &body), frame("P", first), frame("F", second))
        } else {
            (format!("{body}\n"), first.to_owned(), format!("{second}\n"))
        };
        if random.below(4) == 0 {
            self.write(&first);
            self.rest = Some(rest);
        } else {
            self.write(&whole);
        }
        self.written.push(body);
    }

    fn rotate(&mut self, bench: &Bench, random: &mut Random) {
        if self.blind >= BLIND {
            return;
        }
        self.blind += 1;
        let name = |index: usize| bench.path(&format!("a.log.{index}"));
        if name(KEPT).try_exists().unwrap() {
            fs::remove_file(name(KEPT)).unwrap();
        }
        for index in (1..KEPT).rev().filter(|&index| name(index).try_exists().unwrap()) {
            fs::rename(name(index), name(index + 1)).unwrap();
        }
        match self.rotation {
            Rotation::Rename => {
                fs::rename(bench.path("a.log"), name(1)).unwrap();
                // a writer may go on in the renamed file for a while; it ends its line before it opens the new one
                for _ in 0..random.below(3) {
                    self.line(random);
                }
                if !self.is_container
                    && let Some(rest) = self.rest.take()
                {
                    self.write(&rest);
                }
                self.open(bench);
            }
            Rotation::CopyTruncate => {
                fs::copy(bench.path("a.log"), name(1)).unwrap();
                self.file.as_mut().unwrap().set_len(0).unwrap();
            }
        }
    }
}

fn run(seed: u64, rotation: Rotation, is_container: bool) {
    let mut random = Random::new(seed);
    let mut bench = Bench::new(|logs, config| {
        if is_container {
            config.containers = std::mem::take(&mut config.globs);
        }
        config.from = From::Beginning;
        config.exclude = vec![logs.join("none").to_str().unwrap().to_owned()];
    });
    let mut writer = Writer { file: None, written: Vec::new(), rest: None, rotation, blind: 0, is_container };
    writer.open(&bench);
    // a second name, found before the first or after it
    let link = ["0.log", "z.log", "none"][random.below(3)];
    std::os::unix::fs::symlink(bench.path("a.log"), bench.path(link)).unwrap();
    bench.start();
    for _ in 0..150 {
        match random.below(12) {
            0..=3 => {
                for _ in 0..random.below(6) {
                    writer.line(&mut random);
                }
            }
            4 => writer.rotate(&bench, &mut random),
            5 if bench.follower.is_some() => {
                bench.scan();
            }
            6 if bench.follower.is_some() => {
                bench.read();
            }
            7 if bench.follower.is_some() => {
                bench.tick();
                bench.scan();
                while bench.read() {}
                bench.ack(usize::MAX);
                writer.blind = 0;
            }
            8 => bench.ack(random.below(3)),
            9 => bench.persist(),
            10 if bench.follower.is_some() => bench.kill(),
            _ if bench.follower.is_none() => {
                bench.start();
            }
            _ => {}
        }
    }
    if writer.rest.is_some() {
        writer.line(&mut random);
    }
    if bench.follower.is_none() {
        bench.start();
    }
    bench.settle();
    let is_joined = bench.bodies.iter().any(|body| body.contains('\n'));
    assert_eq!(is_joined, is_container, "seed {seed}: lines are joined in containers");
    let mut read: Vec<String> =
        bench.bodies.iter().flat_map(|body| body.split('\n')).map(str::to_owned).collect();
    read.sort_unstable();
    writer.written.sort_unstable();
    let missing: Vec<&String> =
        writer.written.iter().filter(|line| read.binary_search(line).is_err()).collect();
    let doubled: Vec<&String> =
        read.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| &pair[0]).collect();
    assert!(
        missing.is_empty() && doubled.is_empty(),
        "seed {seed} {rotation:?}: missing {missing:?}, doubled {doubled:?}"
    );
    assert_eq!(read, writer.written, "seed {seed} {rotation:?}");
}

#[test]
fn renamed_files_under_kills_arrive_exactly_once() {
    for seed in 0..40 {
        run(seed, Rotation::Rename, false);
    }
}

#[test]
fn copied_and_truncated_files_under_kills_arrive_exactly_once() {
    for seed in 0..40 {
        run(seed, Rotation::CopyTruncate, false);
    }
}

#[test]
fn container_lines_in_parts_and_records_under_kills_arrive_exactly_once() {
    for seed in 0..40 {
        run(seed, Rotation::Rename, true);
    }
}
