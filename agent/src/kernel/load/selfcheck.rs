//! Do the offsets from BTF mean what they say? A program reads this very process; `/proc` knows the answer.

use agent_common::selfcheck::{FIELDS, SelfCheck};
use aya::TestRun as _;
use aya::programs::{RawTracePoint, RawTracePointRunOptions};

use super::super::{KernelFeatures, Settings};
use super::Loader;
use crate::probe::AttachError;

/// What came of it.
#[derive(Debug, Default)]
pub(in crate::kernel) struct Checked {
    /// Whether it could be tried. Where it could not, loading any probe says why.
    pub(in crate::kernel) is_done: bool,
    /// What does not fit.
    pub(in crate::kernel) mismatch: Option<String>,
    /// This process as the program saw it, if that fits.
    pub(in crate::kernel) seen: Option<SelfCheck>,
}

/// Reads this process and compares.
pub(in crate::kernel) fn self_check(features: &KernelFeatures) -> Checked {
    match read_self(features) {
        Ok(seen) => match compare(&seen, features) {
            None => Checked { is_done: true, mismatch: None, seen: Some(seen) },
            mismatch => Checked { is_done: true, mismatch, seen: None },
        },
        Err(AttachError::Unsupported { code: "field_missing", detail }) => {
            Checked { is_done: true, mismatch: Some(detail), seen: None }
        }
        Err(error) => {
            tracing::warn!(%error, "offsets not checked");
            Checked::default()
        }
    }
}

fn read_self(features: &KernelFeatures) -> Result<SelfCheck, AttachError> {
    let settings = Settings::default();
    let mut object = Loader::new("selfcheck", crate::ebpf_object!("selfcheck"), features, &settings)?
        .layout(SelfCheck::LAYOUT)?
        .fields(FIELDS)?
        .fields(agent_common::node::FIELDS)?
        .load()?;
    let failed = |detail: String| AttachError::Failed { code: "object", detail };
    let program =
        object.program::<RawTracePoint>("selfcheck").map_err(|(_, error)| failed(error.to_string()))?;
    program.load().map_err(|error| failed(error.to_string()))?;
    program.test_run(RawTracePointRunOptions::default()).map_err(|error| failed(error.to_string()))?;
    let table = object.table::<SelfCheck>("SEEN", features)?;
    table.get(0).first().copied().ok_or_else(|| failed("map SEEN not read".into()))
}

/// Whether process numbers here are the kernel's own.
fn in_first_pid_namespace() -> bool {
    const FIRST: &str = "pid:[4026531836]";
    std::fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.as_os_str() == FIRST)
}

fn compare(seen: &SelfCheck, features: &KernelFeatures) -> Option<String> {
    let pid = std::process::id();
    // in a PID namespace of its own the process has another number; start, name and cgroup still tell
    if seen.tgid != pid && in_first_pid_namespace() {
        return Some(format!("task_struct.tgid reads {} in process {pid}", seen.tgid));
    }
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let started = stat.rsplit_once(')').and_then(|(_, rest)| rest.split(' ').nth(20)?.parse::<u64>().ok());
    // the kernel rounds down to ticks of 10 ms
    if started.is_some_and(|ticks| seen.start_boot_ns / 10_000_000 != ticks) {
        return Some(format!("start time reads {} ns, /proc says {started:?} ticks", seen.start_boot_ns));
    }
    let comm = std::fs::read_to_string("/proc/self/comm").unwrap_or_default();
    let read = super::super::hosts::text(&seen.comm);
    if read != comm.trim_end() {
        return Some(format!("task_struct.comm reads {read:?}, /proc says {:?}", comm.trim_end()));
    }
    if features.root_cgroup_id != 0 && seen.cgroup_by_field != seen.cgroup_by_helper {
        return Some(format!(
            "cgroup id reads {}, the helper says {}",
            seen.cgroup_by_field, seen.cgroup_by_helper
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use agent_common::selfcheck::SelfCheck;

    use super::{KernelFeatures, compare};

    /// This process, on a kernel whose cgroups do not tell their ancestors.
    fn without_ancestors() -> SelfCheck {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let ticks = stat.rsplit_once(')').unwrap().1.split(' ').nth(20).unwrap().parse::<u64>().unwrap();
        let name = std::fs::read_to_string("/proc/self/comm").unwrap();
        let mut comm = [0; 16];
        comm[..name.trim_end().len()].copy_from_slice(name.trim_end().as_bytes());
        SelfCheck {
            tgid: std::process::id(),
            ran: 1,
            start_boot_ns: ticks * 10_000_000,
            comm,
            cgroup_by_field: 5,
            cgroup_by_helper: 5,
            level: 1,
            _pad: 0,
            ancestors: [0; agent_common::node::MAX_LEVELS],
        }
    }

    #[test]
    fn ancestors_that_cannot_be_read_are_no_mismatch() {
        let features = KernelFeatures { root_cgroup_id: 1, ..KernelFeatures::default() };
        let seen = without_ancestors();
        assert_eq!(compare(&seen, &features), None);
        let other = SelfCheck { cgroup_by_field: 6, ..seen };
        assert!(compare(&other, &features).unwrap().contains("cgroup id reads 6"));
    }
}
