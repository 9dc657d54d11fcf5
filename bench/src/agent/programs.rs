//! The kernel's own statistics of each program that a process holds: runs and time in them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::report::Report;

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// `kernel.bpf_stats_enabled` while it lives; put back as it was when dropped.
#[derive(Debug)]
pub(crate) struct StatsEnabled {
    before: String,
}

impl StatsEnabled {
    pub(crate) fn switch_on() -> Result<Self> {
        let before =
            std::fs::read_to_string(SWITCH).context("read kernel.bpf_stats_enabled (root is needed)")?;
        std::fs::write(SWITCH, "1").context("switch kernel.bpf_stats_enabled on")?;
        Ok(Self { before })
    }
}

impl Drop for StatsEnabled {
    fn drop(&mut self) {
        if std::fs::write(SWITCH, self.before.trim()).is_err() {
            println!("kernel.bpf_stats_enabled could not be put back to {}", self.before.trim());
        }
    }
}

/// Name → (runs, nanoseconds), of every program that a process has open.
#[derive(Debug, Default)]
pub(crate) struct Programs(BTreeMap<String, (u64, u64)>);

impl Programs {
    pub(crate) fn of_own_process() -> Result<Self> {
        Self::read(Path::new("/proc/self/fdinfo"))
    }

    pub(crate) fn of_process(pid: u32) -> Result<Self> {
        Self::read(Path::new(&format!("/proc/{pid}/fdinfo")))
    }

    fn read(fdinfo: &Path) -> Result<Self> {
        let mut names = BTreeMap::new();
        for program in aya::programs::loaded_programs().flatten() {
            names.insert(program.id(), program.name_as_str().unwrap_or("?").to_owned());
        }
        let mut programs = BTreeMap::new();
        for entry in std::fs::read_dir(fdinfo).context("list the process's descriptors")? {
            let text = std::fs::read_to_string(entry?.path()).unwrap_or_default();
            let value = |key: &str| {
                let line = text.lines().find(|line| line.starts_with(key))?;
                line.split_whitespace().nth(1)?.parse::<u64>().ok()
            };
            let (Some(time), Some(runs), Some(id)) =
                (value("run_time_ns:"), value("run_cnt:"), value("prog_id:"))
            else {
                continue;
            };
            let name = u32::try_from(id)
                .ok()
                .and_then(|id| names.get(&id))
                .cloned()
                .unwrap_or_else(|| id.to_string());
            programs.insert(name, (runs, time));
        }
        Ok(Self(programs))
    }

    /// Nanoseconds per run since `before`, of programs that ran often enough to say.
    pub(crate) fn report_since(&self, before: &Self, report: &mut Report) {
        for name in self.0.keys() {
            if let Some((runs, per_run)) = self.per_run(before, name) {
                report.figure(&format!("{name}: ns per run ({runs} runs)"), per_run);
            }
        }
    }

    /// Runs since `before`, and nanoseconds of each.
    pub(crate) fn per_run(&self, before: &Self, name: &str) -> Option<(u64, f64)> {
        let (runs, time) = self.0.get(name).copied()?;
        let (runs_before, time_before) = before.0.get(name).copied().unwrap_or_default();
        let runs = runs.checked_sub(runs_before).filter(|runs| *runs >= 100)?;
        Some((runs, time.saturating_sub(time_before) as f64 / runs as f64))
    }
}
