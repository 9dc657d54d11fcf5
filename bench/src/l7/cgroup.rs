//! A cgroup of our own: its processes are told from all others in the agent's figures, and their CPU time is counted.

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Removed when dropped, once what ran in it has ended.
#[derive(Debug)]
pub(crate) struct Group {
    path: PathBuf,
    workload: String,
}

impl Group {
    pub(crate) fn make(name: &str) -> Result<Self> {
        let root = agent::kernel::KernelFeatures::probe().cgroup2.context("no cgroup2 is mounted")?;
        let name = format!("wake-bench-{}-{name}", std::process::id());
        let path = root.join(&name);
        std::fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self { path, workload: format!("/{name}") })
    }

    /// Moves a process that has just begun.
    pub(crate) fn take(&self, child: &Child) -> Result<()> {
        std::fs::write(self.path.join("cgroup.procs"), child.id().to_string()).context("move a process")
    }

    /// What the agent calls it.
    pub(crate) fn workload(&self) -> &str {
        &self.workload
    }

    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(self.path.join("cpu.stat")).context("read cpu.stat")?;
        let usage = stat.lines().find_map(|line| line.strip_prefix("usage_usec "));
        Ok(Duration::from_micros(usage.context("usage_usec")?.trim().parse()?))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for _ in 0..50 {
            if std::fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        println!("{} could not be removed", self.path.display());
    }
}
