//! One boot: qemu without KVM, the tests' output on the second serial port.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::image::Tools;
use super::packages::Kernel;
use crate::{clock, out, tree};

/// After this the machine is ended.
const PATIENCE: Duration = Duration::from_secs(1_500);
/// A machine that prints nothing for so long stands still: no test takes a third of it.
const STANDSTILL: Duration = Duration::from_secs(240);
const LOOK: Duration = Duration::from_millis(100);

/// What the test binary exits with when tests have failed, and all have run.
const FAILED: i32 = 101;

/// What one kernel said.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) release: String,
    /// Test, and whether it passed.
    pub(super) tests: Vec<(String, bool)>,
    /// `<test>\t<reason>`
    pub(super) skipped: Vec<String>,
    /// The fields of `kernel-table` lines.
    pub(super) rows: Vec<Vec<String>>,
    /// The test binary's exit code; none if the machine never came so far.
    pub(super) exit: Option<i32>,
    /// Tests that passed only alone, in another boot.
    pub(super) unsteady: Vec<String>,
    /// The machine was ended because it took too long.
    timed_out: bool,
    /// The end of what was printed.
    tail: String,
}

impl Run {
    pub(super) fn passed(&self) -> usize {
        self.tests.iter().filter(|(_, passed)| *passed).count()
    }

    pub(super) fn failed(&self) -> Vec<&str> {
        self.tests.iter().filter(|(_, passed)| !passed).map(|(name, _)| name.as_str()).collect()
    }

    /// The kernel panicked, stands still or never began: on a busy host the emulator's own doing, so worth another boot.
    pub(super) fn broke_off(&self) -> bool {
        self.exit.is_none() && !self.timed_out
    }

    /// All tests of this boot ran, and another passed those that failed.
    pub(super) fn is_mended_by(&self, second: &Self) -> bool {
        let passed = |name: &&str| second.tests.iter().any(|(test, passed)| test == name && *passed);
        self.exit == Some(FAILED) && second.exit == Some(0) && self.failed().iter().all(passed)
    }

    /// What makes the verb fail, one line each.
    pub(super) fn complaints(&self) -> Vec<String> {
        match self.exit {
            Some(0) => Vec::new(),
            Some(_) => self.failed().iter().map(|test| format!("{}: {test} failed", self.release)).collect(),
            None => vec![format!(
                "{}: the tests did not come to an end; last words:\n{}",
                self.release, self.tail
            )],
        }
    }
}

pub(super) fn boot(tools: &Tools, kernel: &Kernel, image: &Path, verbose: bool) -> Result<Run> {
    let dir = tree::target().join("kernels");
    let console = dir.join(format!("{}.console", kernel.release));
    let result = dir.join(format!("{}.tests", kernel.release));
    for file in [&console, &result] {
        fs::write(file, "").with_context(|| format!("write {}", file.display()))?;
    }
    let mut qemu = Command::new(&tools.qemu);
    // without cx16: qemu 7.2 leaves wrong flags after cmpxchg16b, on which the slab allocator of 6.12 then faults
    qemu.args(["-accel", "tcg", "-cpu", "max,-cx16", "-smp", "2", "-m", "1024", "-nic", "none"])
        .args(["-display", "none", "-monitor", "none", "-no-reboot"])
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(image)
        .args([
            "-serial",
            &format!("file:{}", console.display()),
            "-serial",
            &format!("file:{}", result.display()),
        ])
        .args([
            "-append",
            "console=ttyS0 quiet panic=-1 rdinit=/init mitigations=off random.trust_cpu=on cgroup_no_v1=all no_timer_check",
        ])
        .stdin(Stdio::null());
    // in this process group, so that Ctrl-C ends it too
    let mut machine = qemu.spawn().context("start qemu")?;
    let began = clock::now();
    let mut shown = 0;
    let mut timed_out = false;
    let (mut printed, mut last) = (0, clock::now());
    while machine.try_wait().context("look after qemu")?.is_none() {
        if began.elapsed() > PATIENCE {
            out::note(&format!("ended after {} s", PATIENCE.as_secs()));
            timed_out = true;
            machine.kill().ok();
            machine.wait().ok();
            break;
        }
        shown = progress(&result, shown, verbose);
        let length = fs::metadata(&result).map_or(0, |file| file.len());
        if length != printed {
            (printed, last) = (length, clock::now());
        } else if last.elapsed() > STANDSTILL {
            out::note(&format!("ended after {} s without a word", STANDSTILL.as_secs()));
            machine.kill().ok();
            machine.wait().ok();
            break;
        }
        clock::pause(LOOK);
    }
    progress(&result, shown, verbose);
    let text = String::from_utf8_lossy(&fs::read(&result)?).replace('\r', "");
    let mut run = Run { timed_out, ..parse(&kernel.release, &text) };
    if run.exit.is_none() {
        let console = String::from_utf8_lossy(&fs::read(&console)?).into_owned();
        run.tail = tail(&format!("{console}\n{text}"), 30);
    } else if run.exit != Some(0) && !verbose {
        tail(&text, 60).lines().for_each(out::note);
    }
    Ok(run)
}

/// Keeps what the last boot of this kernel said, beside what the next one will say.
pub(super) fn keep_words(kernel: &Kernel) {
    let dir = tree::target().join("kernels");
    for kind in ["console", "tests"] {
        let words = dir.join(format!("{}.{kind}", kernel.release));
        fs::copy(&words, dir.join(format!("{}.first.{kind}", kernel.release))).ok();
    }
}

/// Shows finished lines from byte `shown` on: all of them, or only each test's verdict.
fn progress(result: &Path, shown: usize, verbose: bool) -> usize {
    let bytes = fs::read(result).unwrap_or_default();
    let fresh = bytes.get(shown..).unwrap_or_default();
    let Some(end) = fresh.iter().rposition(|byte| *byte == b'\n') else { return shown };
    for line in String::from_utf8_lossy(&fresh[..end]).lines() {
        let line = line.trim_end();
        if verbose || line.ends_with("... FAILED") {
            out::note(line);
        }
    }
    shown + end + 1
}

/// With `--nocapture` a test's verdict may stand on a later line than its name, behind what the test printed.
fn parse(release: &str, text: &str) -> Run {
    let mut run = Run { release: release.to_owned(), ..Run::default() };
    let mut current: Option<String> = None;
    for line in text.lines() {
        let mut rest = line;
        if let Some((name, after)) = line.strip_prefix("test ").and_then(|line| line.split_once(" ... ")) {
            current = Some(name.to_owned());
            rest = after;
        }
        if let Some(fields) = rest.strip_prefix("kernel-table\t") {
            run.rows.push(fields.split('\t').map(str::to_owned).collect());
        } else if let Some(skip) = rest.strip_prefix("skipped\t") {
            run.skipped.push(skip.to_owned());
        } else if let Some(code) = rest.strip_prefix("wake-exit: ") {
            run.exit = code.trim().parse().ok();
        } else if let (true, Some(name)) = (rest == "ok" || rest == "FAILED", &current) {
            run.tests.push((name.clone(), rest == "ok"));
            current = None;
        }
    }
    run.skipped.sort();
    run.skipped.dedup();
    run
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn verdicts_are_found_behind_what_tests_print() {
        let run = parse(
            "6.1",
            "running 3 tests\ntest a::one ... ok\ntest b::two ... kernel-table\tflows\tegress\t812\nok\n\
             test c::three ... skipped\tthree\tno BTF\nmore\nFAILED\nwake-exit: 101\n",
        );
        assert_eq!(run.tests, [("a::one".into(), true), ("b::two".into(), true), ("c::three".into(), false)]);
        assert_eq!(run.rows, [["flows", "egress", "812"]]);
        assert_eq!(run.skipped, ["three\tno BTF"]);
        assert_eq!(run.complaints(), ["6.1: c::three failed"]);
    }

    #[test]
    fn a_failure_is_mended_only_by_a_boot_that_passes_that_very_test() {
        let first = parse("6.1", "test a::one ... FAILED\ntest a::two ... ok\nwake-exit: 101\n");
        assert!(first.is_mended_by(&parse("6.1", "test a::one ... ok\nwake-exit: 0\n")));
        assert!(!first.is_mended_by(&parse("6.1", "test a::two ... ok\nwake-exit: 0\n")));
        assert!(!first.is_mended_by(&parse("6.1", "test a::one ... FAILED\nwake-exit: 101\n")));
        assert!(!first.is_mended_by(&parse("6.1", "test a::one ... ok\n")));
        for end in ["", "wake-exit: 139\n"] {
            let broken = parse("6.1", &format!("test a::one ... FAILED\ntest a::two ... {end}"));
            assert!(!broken.is_mended_by(&parse("6.1", "test a::one ... ok\nwake-exit: 0\n")), "{end}");
        }
    }

    #[test]
    fn a_machine_that_never_finished_is_a_failure() {
        assert_eq!(parse("6.1", "test a ... ok\n").complaints().len(), 1);
    }
}
