//! Whether this host lets the agent do its work: kernel, BTF, capabilities, mounts, limits, probes, clock, certificate.
//!
//! In: files of the host and the states of the parts. Out: [`Check`]s, at `/doctor` and, with the agent's status, at the
//! aggregator. Decides nothing: a probe's own state says whether it runs.

use std::fs;
use std::path::{Path, PathBuf};

use daemon::doctor::{Check, certificate};
use proto::v1::ProbeState;

use crate::driver::states::States;
use crate::kernel::mounts::mounts;
use crate::metrics::export::ExportMetrics;
use crate::metrics::logs::LogMetrics;

/// A capability's bit, its name, and what does not work without it.
const CAPABILITIES: [(u32, &str, &str); 5] = [
    (39, "BPF", "no eBPF program can be loaded: no flows, syscalls, processes"),
    (38, "PERFMON", "no tracing program can be loaded: no syscalls, scheduling, processes"),
    (12, "NET_ADMIN", "programs on the cgroup's packets are refused: no flows"),
    (19, "SYS_PTRACE", "other processes' files cannot be looked at: names of executables may be missing"),
    (2, "DAC_READ_SEARCH", "files of other users cannot be read: logs may be missing"),
];
/// What stands in for the first three.
const SYS_ADMIN: u32 = 21;
const LOGS: &str = "/var/log/pods";
const FEW_FILES: u64 = 4_096;

/// Looks; clones look at the same.
#[derive(Clone, Debug)]
pub(crate) struct Doctor {
    pub(crate) proc: PathBuf,
    /// `/sys`
    pub(crate) sys: PathBuf,
    /// Where containers' logs are, for this host: `LOGS`.
    pub(crate) logs: PathBuf,
    pub(crate) states: States,
    /// Without one nothing is exported.
    pub(crate) export: Option<ExportMetrics>,
    /// Where logs are read.
    pub(crate) log_reader: Option<LogMetrics>,
    pub(crate) is_tls: bool,
    pub(crate) clock: daemon::clock::Clock,
}

impl Doctor {
    /// Of this host.
    pub(crate) fn new(
        proc: PathBuf,
        states: States,
        export: Option<ExportMetrics>,
        is_tls: bool,
        clock: daemon::clock::Clock,
    ) -> Self {
        let (sys, logs) = (PathBuf::from("/sys"), PathBuf::from(LOGS));
        Self { proc, sys, logs, states, export, log_reader: None, is_tls, clock }
    }

    /// Everything that there is to say now.
    pub(crate) fn checks(&self) -> Vec<Check> {
        let status = self.text("self/status");
        let mut checks = vec![
            kernel(&self.text("sys/kernel/osrelease")),
            btf(&self.sys.join("kernel/btf/vmlinux")),
            capabilities(&status),
            cgroups(&self.text("self/mountinfo")),
            logs(&self.logs),
            files(&self.text("self/limits")),
        ];
        checks.extend(self.log_reader.as_ref().map(annotations));
        checks.extend(self.states.now().iter().map(probe));
        if let Some(export) = &self.export {
            checks.push(match export.connected.get() {
                1 => Check::ok("aggregator", "connected"),
                _ => Check::fail(
                    "aggregator",
                    "not connected: batches stay in the spool",
                    "the agent's /readyz says why; see that export.endpoint is reached and its certificate trusted",
                ),
            });
            if self.is_tls {
                let now_s = i64::try_from(self.clock.now_unix_ns() / 1_000_000_000).unwrap_or(i64::MAX);
                checks.push(match export.certificate_not_after.get() {
                    // the gauge of one that never had any
                    0 => Check::warn(
                        "certificate",
                        "none yet",
                        "it comes with the enrolment; the agent's /readyz says why it waits",
                    ),
                    not_after_s => {
                        let from_s = export.certificate_not_before.get();
                        certificate("certificate", (from_s, not_after_s), now_s)
                    }
                });
            }
        }
        checks
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.proc.join(path)).unwrap_or_default()
    }
}

fn kernel(release: &str) -> Check {
    let release = release.trim();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match version {
        (0, _) => Check::warn("kernel", "its version cannot be read", "see that /proc is mounted"),
        version if version < (5, 10) => {
            Check::fail("kernel", format!("Linux {release}"), "the probes need 5.10 or later")
        }
        _ => Check::ok("kernel", format!("Linux {release}")),
    }
}

fn btf(path: &Path) -> Check {
    match fs::File::open(path) {
        Ok(_) => Check::ok("btf", "the kernel describes its types"),
        Err(error) => Check::fail(
            "btf",
            format!("{}: {error}", path.display()),
            "use a kernel built with CONFIG_DEBUG_INFO_BTF, and let the agent read it",
        ),
    }
}

fn capabilities(status: &str) -> Check {
    let area = "capabilities";
    let found = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let Some(bits) = found.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()) else {
        return Check::warn(area, "cannot be read", "see that /proc is mounted");
    };
    let has = |bit: u32| bits & (1_u64 << bit) != 0;
    let stands_in = |bit: u32| [39, 38].contains(&bit) && has(SYS_ADMIN);
    let lacking: Vec<_> = CAPABILITIES.iter().filter(|(bit, ..)| !has(*bit) && !stands_in(*bit)).collect();
    if lacking.is_empty() {
        return Check::ok(area, "all that are needed");
    }
    let names: Vec<_> = lacking.iter().map(|(_, name, _)| *name).collect();
    let lost: Vec<_> = lacking.iter().map(|(.., lost)| *lost).collect();
    let advice =
        format!("run as user 0 with capabilities add: [{}] (securityContext, or as root)", names.join(", "));
    let found = format!("without {}: {}", names.join(", "), lost.join("; "));
    match lacking.iter().any(|(bit, ..)| *bit >= 38) {
        true => Check::fail(area, found, advice),
        false => Check::warn(area, found, advice),
    }
}

fn cgroups(mountinfo: &str) -> Check {
    let found = mounts(mountinfo, None);
    match (found.cgroup2, found.v1.is_empty()) {
        (Some(root), _) => Check::ok("cgroups", format!("cgroup2 at {}", root.display())),
        (None, false) => Check::warn(
            "cgroups",
            "only version 1 is mounted: no flows, no pressure",
            "mount cgroup2 (in a pod: a hostPath of the host's)",
        ),
        (None, true) => Check::fail(
            "cgroups",
            "no hierarchy is mounted: nothing can be named",
            "mount cgroup2 (in a pod: a hostPath of /sys/fs/cgroup)",
        ),
    }
}

fn logs(path: &Path) -> Check {
    match fs::read_dir(path) {
        Ok(_) => Check::ok("logs", format!("{} can be read", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let found = format!("{} is not there: no containers of Kubernetes here", path.display());
            Check::warn("logs", found, "in a pod: mount it as a hostPath; outside Kubernetes all is well")
        }
        Err(error) => {
            let found = format!("{}: {error}", path.display());
            Check::fail("logs", found, "the agent needs DAC_READ_SEARCH, or must run as root")
        }
    }
}

/// What pods want of their logs.
fn annotations(metrics: &LogMetrics) -> Check {
    let (left_out, waiting) = (metrics.left_out_logs.get(), metrics.waiting_logs.get());
    let lines = metrics.passed_over.get();
    let area = "annotations";
    let found = format!("{left_out} logs left out, {lines} lines of them passed over, {waiting} logs wait");
    match waiting {
        0 => Check::ok(area, found),
        _ => Check::warn(
            area,
            found,
            "the aggregator has not told of their pods yet; after logs.unknown_pods.wait_s they are read or dropped",
        ),
    }
}

fn files(limits: &str) -> Check {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()).and_then(|text| text.parse::<u64>().ok());
    match soft {
        Some(few) if few < FEW_FILES => Check::warn(
            "open files",
            format!("the limit is {few}: few logs are followed at a time"),
            format!("raise the limit (LimitNOFILE, ulimit -n) to {FEW_FILES} or more"),
        ),
        Some(enough) => Check::ok("open files", format!("the limit is {enough}")),
        None => Check::ok("open files", "no limit"),
    }
}

fn probe(state: &ProbeState) -> Check {
    let ProbeState { probe, state, reason, missing } = state;
    let area = format!("probe {probe}");
    match state.as_str() {
        "running" if missing.is_empty() => Check::ok(&area, "runs"),
        "running" => Check::warn(&area, format!("runs without {}", missing.join("; ")), ""),
        "failed" => Check::fail(&area, reason.clone(), "its reason says what was refused"),
        _ => Check::warn(&area, format!("{state}: {reason}"), ""),
    }
}

#[cfg(test)]
mod tests {
    use daemon::doctor::State;

    use super::{capabilities, files, kernel};

    #[test]
    fn kernels_are_told_by_their_version() {
        for (release, state) in [
            ("6.18.5-1-default\n", State::Ok),
            ("5.10.0", State::Ok),
            ("5.4.0-150-generic", State::Fail),
            ("", State::Warn),
        ] {
            assert_eq!(kernel(release).state, state, "{release}");
        }
    }

    #[test]
    fn lacking_capabilities_are_named_with_what_is_lost() {
        let of = |bits: u64| capabilities(&format!("Name:\tx\nCapEff:\t{bits:016x}\n"));
        let all: u64 = [39_u32, 38, 12, 19, 2].iter().map(|bit| 1_u64 << bit).sum();
        assert_eq!(of(all).state, State::Ok);
        assert_eq!(of(u64::MAX).state, State::Ok);
        let without = of(all & !(1 << 39));
        assert!(without.state == State::Fail && without.found.contains("BPF"), "{without:?}");
        assert_eq!(of(all & !(1 << 2)).state, State::Warn);
        assert_eq!(of((all & !(1 << 39) & !(1 << 38)) | 1 << 21).state, State::Ok, "SYS_ADMIN stands in");
    }

    #[test]
    fn a_low_limit_of_files_is_said() {
        let line =
            |soft: &str| format!("Limit  Soft  Hard\nMax open files            {soft}   1048576   files\n");
        assert_eq!(files(&line("1024")).state, State::Warn);
        assert_eq!(files(&line("65536")).state, State::Ok);
        assert_eq!(files(&line("unlimited")).state, State::Ok);
    }
}
