//! What the kernel says of this process.

use super::AgentMetrics;

impl AgentMetrics {
    /// Reads how much memory is resident.
    pub fn measure_process(&self) {
        let resident = std::fs::read_to_string("/proc/self/status").ok().and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.trim().split(' ').next()?.parse::<i64>().ok()
        });
        if let Some(kibibytes) = resident {
            self.resident_bytes.set(kibibytes * 1024);
        }
    }

    /// Reads how much memory the BPF maps take: a file for each descriptor.
    pub fn measure_maps(&self) {
        self.bpf_map_bytes.set(map_bytes());
    }
}

/// The sum of `memlock` over the maps that this process holds.
fn map_bytes() -> i64 {
    let Ok(entries) = std::fs::read_dir("/proc/self/fdinfo") else { return 0 };
    let mut by_id = std::collections::BTreeMap::new();
    for entry in entries.flatten() {
        let is_map = std::fs::read_link(entry.path().to_string_lossy().replace("/fdinfo/", "/fd/"))
            .is_ok_and(|target| target.to_string_lossy() == "anon_inode:bpf-map");
        if !is_map {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().parse::<i64>().ok()
        };
        if let (Some(id), Some(bytes)) = (field("map_id"), field("memlock")) {
            by_id.insert(id, bytes);
        }
    }
    by_id.into_values().sum()
}
