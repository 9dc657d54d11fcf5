//! What a test needs of the machine; what is not there skips it, with the reason on a line of its own.
//!
//! `cargo xtask test` collects the lines `skipped\t<test>\t<reason>`.

use agent::kernel::KernelFeatures;
use agent::window::sample::Loss;

/// In a machine without hardware's help, ten times slower.
pub(crate) fn emulated() -> bool {
    std::env::var_os("WAKE_EMULATED").is_some()
}

/// Whether nothing else goes on in this machine: what some tests make is counted for all of it, and would be found by others.
/// In the emulated ones one test runs after the other.
pub(crate) fn alone(test: &str) -> bool {
    if !emulated() {
        skip(test, "counts what all of the machine does; it runs in those of `cargo xtask kernels`");
    }
    emulated()
}

/// A thing that not every machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Rights to load programs.
    Root,
    /// `/sys/kernel/btf/vmlinux`
    Btf,
    /// A mounted cgroup2 hierarchy in which directories can be made.
    Cgroup2,
    /// A program to make namespaces and rules with.
    Tool(&'static str),
}

impl Need {
    /// Why it is not there, if so.
    fn lacking(self, features: &KernelFeatures) -> Option<String> {
        match self {
            Self::Root => (!(features.capable(21) || (features.capable(38) && features.capable(39))))
                .then(|| "needs root (CAP_BPF and CAP_PERFMON)".to_owned()),
            Self::Btf => (!features.has_btf).then(|| "this kernel has no BTF".to_owned()),
            Self::Cgroup2 => match &features.cgroup2 {
                None => Some("no cgroup2 hierarchy is mounted".to_owned()),
                Some(_) => crate::cgroup::Cgroup::new(features, "requires").err(),
            },
            Self::Tool(name) => std::process::Command::new(name)
                .arg("-V")
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .and_then(|mut child| child.wait())
                .err()
                .map(|error| format!("needs the program {name}: {error}")),
        }
    }
}

/// Whether the test can run here; if not, says so.
pub(crate) fn requires(test: &str, needs: &[Need]) -> bool {
    let features = crate::features();
    for need in needs {
        if let Some(reason) = need.lacking(features) {
            skip(test, &reason);
            return false;
        }
    }
    true
}

/// Whether the kernel itself has skipped runs of programs, and counted them: from 7.0 on it preempts programs of
/// tracepoints, and those that others would begin meanwhile do not run. Then no test of exactness can hold; it says so.
pub(crate) fn kernel_skipped(test: &str, losses: &[Loss]) -> bool {
    let runs: u64 = losses.iter().filter(|loss| loss.reason == "program_busy").map(|loss| loss.count).sum();
    let is_skipped = runs > 0 && crate::features().version() >= (7, 0);
    if is_skipped {
        skip(
            test,
            &format!("this kernel preempts programs, and has skipped {runs} runs; they are in the ledger"),
        );
    }
    is_skipped
}

/// Records that a test did not run, and why.
pub(crate) fn skip(test: &str, reason: &str) {
    println!("skipped\t{test}\t{reason}");
    // a passing test's output is not shown; `cargo xtask test` reads this file
    if let Some(file) = std::env::var_os("WAKE_SKIPS") {
        let line = format!("wake-skip: {test}: {reason}\n");
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(file);
        opened.and_then(|mut file| std::io::Write::write_all(&mut file, line.as_bytes())).ok();
    }
}
