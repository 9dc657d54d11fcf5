//! What this kernel and this process can do, found out once at start.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use super::KernelFeatures;
use super::btf::Btf;
use super::lent::Lent;
use super::mounts::mounts;
use super::node::Node;
use super::view::NodeView;

/// Capability numbers that probes name when they are missing.
pub const CAP_NET_ADMIN: u32 = 12;
/// Reading other processes' descriptors and I/O in `/proc`.
pub const CAP_SYS_PTRACE: u32 = 19;
/// Everything that has no name of its own; stands for BPF and PERFMON before 5.8.
pub const CAP_SYS_ADMIN: u32 = 21;
/// Tracing programs.
pub const CAP_PERFMON: u32 = 38;
/// Loading programs and maps.
pub const CAP_BPF: u32 = 39;

impl KernelFeatures {
    /// Reads `/proc` and `/sys`; what is not there stays empty, and the probes that need it say so.
    pub fn probe() -> Self {
        Self::of_node(None, None)
    }

    /// The same for a node whose cgroups are found at `cgroup_root`; see `Settings`.
    pub fn of_node(cgroup_root: Option<&Path>, host_owner: Option<bool>) -> Self {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mounts = mounts(&mountinfo, cgroup_root);
        let root_cgroup_id =
            mounts.cgroup2.as_deref().and_then(|path| fs::metadata(path).ok()).map_or(0, |found| found.ino());
        let btf = match Btf::running() {
            Ok(btf) => Some(Arc::new(btf)),
            Err(error) => {
                tracing::warn!(%error, "no kernel types");
                None
            }
        };
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
        let mut features = Self {
            release,
            view: NodeView::of(&mounts),
            cgroup2: mounts.cgroup2,
            root_cgroup_id,
            node: Node::default(),
            has_btf: btf.is_some(),
            btf,
            offsets_checked: false,
            offset_mismatch: None,
            possible_cpus: possible_cpus(),
            page_size: page_size(),
            capabilities: effective_capabilities(),
            makes_loops: false,
            lent: Lent::default(),
        };
        features.makes_loops = features.version() >= (5, 17);
        let mut seen = None;
        if features.has_btf {
            let checked = super::load::self_check(&features);
            features.offsets_checked = checked.is_done;
            features.offset_mismatch = checked.mismatch;
            seen = checked.seen;
        }
        let own_path = own_cgroup(&fs::read_to_string("/proc/self/cgroup").unwrap_or_default());
        features.node =
            Node::find(root_cgroup_id, &mounts.cgroup2_root, &own_path, seen.as_ref(), host_owner);
        features
    }
}

/// This process's path in cgroup2.
fn own_cgroup(text: &str) -> String {
    text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/").to_owned()
}

/// Those of this thread, bit by number.
pub fn effective_capabilities() -> u64 {
    capabilities(&fs::read_to_string("/proc/thread-self/status").unwrap_or_default())
}

fn capabilities(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

fn possible_cpus() -> usize {
    let text = fs::read_to_string(Path::new("/sys/devices/system/cpu/possible")).unwrap_or_default();
    cpu_count(text.trim()).unwrap_or(1)
}

fn page_size() -> u64 {
    // SAFETY: a question without memory; -1 where there is no answer.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// `0-3,5` has 5 CPUs, but arrays of them run to the last one.
fn cpu_count(list: &str) -> Option<usize> {
    let mut count = 0;
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        count += last.parse::<usize>().ok()?.checked_sub(first.parse().ok()?)? + 1;
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::{capabilities, cpu_count};

    #[test]
    fn lists_and_masks_are_read() {
        assert_eq!(cpu_count("0-3,5"), Some(5));
        assert_eq!(cpu_count("0"), Some(1));
        assert_eq!(cpu_count("3-0"), None);
        assert_eq!(capabilities("Name:\tx\nCapEff:\t00000000000000c0\n"), 0xc0);
    }
}
