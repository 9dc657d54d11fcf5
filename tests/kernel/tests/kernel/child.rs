//! This very binary as a child that does a known amount of work: VMs hold no other programs.
//!
//! The child is the test `child::work`, started with `WAKE_CHILD` set to what to do; without it that test is empty.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ENV: &str = "WAKE_CHILD";

/// A command that runs this binary as a child doing `work`.
pub(crate) fn command(work: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child::work", "--test-threads", "1", "--nocapture"]).env(ENV, work);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Calls a syscall that this binary makes for no other reason.
fn raw(number: libc::c_long, first: libc::c_long) -> libc::c_long {
    // SAFETY: the numbers used here take at most one integer, or fail on it.
    unsafe { libc::syscall(number, first, 0, 0, 0, 0, 0) }
}

/// What the child does.
#[test]
fn work() {
    let Ok(work) = std::env::var(ENV) else { return };
    let (verb, rest) = work.split_once(' ').unwrap_or((&work, ""));
    let number: u64 = rest.parse().unwrap_or(0);
    match verb {
        // getpgid of this process succeeds; of one that cannot be, ESRCH; an unknown number, ENOSYS
        "syscalls" => {
            for _ in 0..number {
                raw(libc::SYS_getpgid, 0);
            }
            for _ in 0..number / 2 {
                raw(libc::SYS_getsid, libc::c_long::from(i32::MAX));
            }
            for _ in 0..number / 4 {
                raw(libc::SYS_fchdir, 9_999);
            }
        }
        "sleep_ms" => std::thread::sleep(Duration::from_millis(number)),
        "burn_ms" => {
            let until = Instant::now() + Duration::from_millis(number);
            while Instant::now() < until {
                std::hint::black_box(0);
            }
        }
        // leaves the CPU `number` times of its own will
        "naps" => {
            for _ in 0..number {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        other => panic!("unknown work {other}"),
    }
}
