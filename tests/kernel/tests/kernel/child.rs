//! This very binary as a child that does a known amount of work: VMs hold no other programs.
//!
//! The child is the test `child::work`, started with `WAKE_CHILD` set to what to do; without it that test is empty.
#![expect(clippy::disallowed_methods, reason = "the child burns and sleeps real time")]

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

/// Runs before `main`, so that a thousand children cost little in an emulated machine: sleeps and ends with a code.
extern "C" fn brief() {
    let Some(work) = std::env::var_os(ENV) else { return };
    let Some(code) = work.to_str().and_then(|work| work.strip_prefix("sleep_and_exit ")) else { return };
    std::thread::sleep(Duration::from_millis(20));
    // SAFETY: ends the process at once; nothing of it is needed any more.
    unsafe { libc::_exit(code.parse().unwrap_or(255)) }
}

// SAFETY: the C library calls each entry of this section once, when the environment is already there.
#[used]
#[unsafe(link_section = ".init_array")]
static BRIEF: extern "C" fn() = brief;

/// What the kernel itself counted of a child.
pub(crate) struct Truth {
    pub(crate) voluntary: u64,
    pub(crate) involuntary: u64,
    pub(crate) cpu_ns: u64,
}

/// Waits for a child that must succeed.
pub(crate) fn wait(child: &mut std::process::Child) -> Truth {
    let pid = i32::try_from(child.id()).unwrap();
    let mut status = 0;
    // SAFETY: an all-zero rusage is valid; wait4 writes to it and to the status.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::wait4(pid, &raw mut status, 0, &raw mut usage), pid);
        usage
    };
    assert_eq!(status, 0);
    let nanos = |time: libc::timeval| (time.tv_sec * 1_000_000_000 + time.tv_usec * 1_000).cast_unsigned();
    Truth {
        voluntary: usage.ru_nvcsw.cast_unsigned(),
        involuntary: usage.ru_nivcsw.cast_unsigned(),
        cpu_ns: nanos(usage.ru_utime) + nanos(usage.ru_stime),
    }
}

/// Calls a syscall that this binary makes for no other reason.
fn raw(number: libc::c_long, first: libc::c_long) -> libc::c_long {
    // SAFETY: the numbers used here take at most one integer, or fail on it.
    unsafe { libc::syscall(number, first, 0, 0, 0, 0, 0) }
}

/// From now on every call of this thread whose number is at least this returns 0 without being made.
fn succeed_from(number: u32) {
    const fn step(code: u32, jump: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter { code: code as u16, jt: jump, jf: 0, k }
    }
    let mut steps = [
        // the number is the first field of `seccomp_data`
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 1, number),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
        // with errno 0, which is success
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ERRNO),
    ];
    let filter = libc::sock_fprog { len: 4, filter: steps.as_mut_ptr() };
    // SAFETY: the kernel copies the four steps during the call.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter), 0);
    }
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
        // 2,000 numbers in turn, `number` rounds: more keys than any map of a test has entries; none of these calls
        // exists, and each succeeds
        "numbers" => {
            succeed_from(1_000);
            for unknown in (1_000..3_000).cycle().take(2_000 * usize::try_from(number).unwrap()) {
                assert_eq!(raw(unknown, 0), 0);
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
        // children that only end
        "forks" => {
            for _ in 0..number {
                // SAFETY: the child calls nothing but `_exit`; the parent waits for it.
                unsafe {
                    let child = libc::fork();
                    if child == 0 {
                        libc::_exit(7);
                    }
                    assert_eq!(libc::waitpid(child, std::ptr::null_mut(), 0), child);
                }
            }
        }
        "eat_mib" => {
            let mut eaten: Vec<Vec<u8>> = Vec::new();
            for _ in 0..number {
                eaten.push(vec![1; 1 << 20]);
                std::hint::black_box(&eaten);
            }
        }
        "http" => crate::requests::traffic::work(rest),
        "grpc" => crate::requests::traffic::grpc::work(usize::try_from(number).unwrap()),
        "grpc_heavy" => crate::requests::traffic::grpc::heavy_work(usize::try_from(number).unwrap()),
        "tls" => crate::tls::fake::work(number),
        "map_bytes" => println!("map-bytes\t{}", crate::table::map_bytes(rest)),
        "direct_writes" => {
            let (number, device) = rest.split_once(' ').unwrap();
            crate::block::direct_writes(number.parse().unwrap(), device);
        }
        other => panic!("unknown work {other}"),
    }
}
