//! What this kernel and this process can do, found out once at start.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::KernelFeatures;
use super::btf::Btf;

/// Capability numbers that probes name when they are missing.
pub const CAP_NET_ADMIN: u32 = 12;
/// Reading other processes' `/proc`.
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
        let cgroup2 = fs::read_to_string("/proc/self/mountinfo").ok().and_then(|text| cgroup2_mount(&text));
        let root_cgroup_id =
            cgroup2.as_deref().and_then(|path| fs::metadata(path).ok()).map_or(0, |metadata| metadata.ino());
        let btf = match Btf::running() {
            Ok(btf) => Some(Arc::new(btf)),
            Err(error) => {
                tracing::warn!(%error, "no kernel types");
                None
            }
        };
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mut features = Self {
            release,
            cgroup2,
            root_cgroup_id,
            has_btf: btf.is_some(),
            btf,
            offsets_checked: false,
            offset_mismatch: None,
            possible_cpus: possible_cpus(),
            page_size: page_size(),
            capabilities: capabilities(&status),
        };
        if features.has_btf {
            (features.offsets_checked, features.offset_mismatch) = super::load::self_check(&features);
        }
        features
    }
}

/// The mount point of the first whole cgroup2 hierarchy.
fn cgroup2_mount(mountinfo: &str) -> Option<PathBuf> {
    for line in mountinfo.lines() {
        let Some((mount, filesystem)) = line.split_once(" - ") else { continue };
        let mut fields = mount.split(' ');
        let (root, point) = (fields.nth(3), fields.next());
        if filesystem.split(' ').next() == Some("cgroup2") && root == Some("/") {
            return point.map(|point| PathBuf::from(unescape(point)));
        }
    }
    None
}

/// mountinfo writes blanks as `\040`.
fn unescape(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        match after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(char::from(byte));
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out + rest
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
    use std::path::PathBuf;

    use super::{capabilities, cgroup2_mount, cpu_count};

    #[test]
    fn the_whole_hierarchy_is_found_in_hybrid_mode_too() {
        let text = "25 30 0:22 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
            26 30 0:23 /sub /somewhere rw - cgroup2 cgroup2 rw\n\
            27 30 0:23 / /sys/fs/cgroup/uni\\040fied rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(cgroup2_mount(text), Some(PathBuf::from("/sys/fs/cgroup/uni fied")));
        assert_eq!(cgroup2_mount("nonsense"), None);
    }

    #[test]
    fn lists_and_masks_are_read() {
        assert_eq!(cpu_count("0-3,5"), Some(5));
        assert_eq!(cpu_count("0"), Some(1));
        assert_eq!(cpu_count("3-0"), None);
        assert_eq!(capabilities("Name:\tx\nCapEff:\t00000000000000c0\n"), 0xc0);
    }
}
