//! Running a program that may hang: a process group of its own, an end to patience, and who hung.
//!
//! What is asked to end here is only the group that was started here; Ctrl-C and TERM are passed on to it.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::{clock, run};

const LOOK: Duration = Duration::from_millis(50);
/// From the request to end to the end by force.
const GRACE: Duration = Duration::from_secs(5);

/// Runs to the end with this terminal's output; fails unless it succeeds within `patience`, after which the whole
/// process group ends and the error names what still ran in it.
pub(crate) fn check_within(command: &mut Command, patience: Duration) -> Result<()> {
    let shown = run::shown(command);
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("listen for signals")?;
    let mut child = command.process_group(0).spawn().with_context(|| format!("start {shown}"))?;
    let group = Pid::from_child(&child);
    let began = clock::now();
    loop {
        if let Some(status) = child.try_wait().with_context(|| format!("look after {shown}"))? {
            if !status.success() {
                bail!("{shown}: {status}");
            }
            return Ok(());
        }
        let interrupted = signals.pending().next().is_some();
        if interrupted || began.elapsed() >= patience {
            // read before it is ended: afterwards nobody knows
            let running = running(group);
            end(group);
            child.wait().with_context(|| format!("look after {shown}"))?;
            if interrupted {
                bail!("{shown}: interrupted");
            }
            bail!("{shown}: not done after {}; what still ran was ended:\n{running}", minutes(patience));
        }
        clock::pause(LOOK);
    }
}

/// Asks the group to end; after the grace, ends it.
fn end(group: Pid) {
    for signal in [Signal::TERM, Signal::KILL] {
        // an error means that nobody is left in it
        if kill_process_group(group, signal).is_err() {
            return;
        }
        let began = clock::now();
        while began.elapsed() < GRACE && !members(group).is_empty() {
            clock::pause(LOOK);
        }
    }
}

/// Living members of the group, without its leader, which is waited for elsewhere.
fn members(group: Pid) -> Vec<i32> {
    let ids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    ids.filter(|id| *id != group.as_raw_nonzero().get() && lives_in(*id, group)).collect()
}

fn lives_in(id: i32, group: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let Some((_, after_name)) = stat.rsplit_once(") ") else { return false };
    let mut fields = after_name.split(' ');
    let is_dead = matches!(fields.next(), Some("Z" | "X"));
    let of = fields.nth(1).and_then(|of| of.parse::<i32>().ok());
    !is_dead && of == Some(group.as_raw_nonzero().get())
}

/// A line per member: its command line, and its threads. The test harness names a thread after its test.
fn running(group: Pid) -> String {
    let mut text = String::new();
    for id in members(group) {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        text.push_str(&format!(
            "  {} (process {id}; threads: {})\n",
            line.trim_end(),
            threads(id).join(", ")
        ));
    }
    text
}

fn threads(id: i32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let mut names: Vec<String> = tasks
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
        .map(|name| name.trim_end().to_owned())
        .collect();
    names.sort();
    names.dedup();
    names
}

fn minutes(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds >= 60 => format!("{} min", seconds / 60),
        _ => format!("{} ms", time.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use rustix::process::{Pid, test_kill_process_group};

    use super::check_within;
    use crate::clock;

    #[test]
    fn what_hangs_is_named_and_ended_with_all_that_it_started() {
        let began = clock::now();
        let mut shell = Command::new("sh");
        // a grandchild that does not listen, as a hung test's own child might
        shell.args(["-c", "(trap '' TERM; exec sleep 61) & sleep 62"]);
        let error = check_within(&mut shell, Duration::from_millis(500)).unwrap_err().to_string();
        assert!(began.elapsed() < Duration::from_secs(30), "{error}");
        assert!(error.contains("not done after 500 ms"), "{error}");
        assert!(error.contains("sleep 61 (process ") && error.contains("sleep 62 (process "), "{error}");
        let of = |line: &str| line.split("(process ").nth(1)?.split(';').next()?.parse::<i32>().ok();
        for id in error.lines().filter_map(of) {
            let id = Pid::from_raw(id).unwrap();
            assert!(test_kill_process_group(id).is_err(), "it led no group");
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", id.as_raw_nonzero()));
            assert!(stat.is_err() || stat.unwrap().contains(") Z "), "{id:?} lives");
        }
    }

    #[test]
    fn what_ends_in_time_keeps_its_status() {
        let long = Duration::from_secs(60);
        check_within(&mut Command::new("true"), long).unwrap();
        let error = check_within(Command::new("sh").args(["-c", "exit 3"]), long).unwrap_err().to_string();
        assert!(error.contains("exit status: 3"), "{error}");
    }
}
