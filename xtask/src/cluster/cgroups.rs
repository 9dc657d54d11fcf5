//! The cluster's cgroup in every hierarchy of the machine: everything runs below it, so ending it ends everything.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::settings::CGROUP;
use crate::clock;

const ROOT: &str = "/sys/fs/cgroup";
const LOOK: Duration = Duration::from_millis(50);

/// Makes the cluster's cgroup, with `node` below it, in every hierarchy.
pub(super) fn make(node: &str) -> Result<()> {
    for hierarchy in hierarchies()? {
        let mut dir = hierarchy.clone();
        for part in [CGROUP, node] {
            let parent = dir.clone();
            dir.push(part);
            fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
            // a new cpuset is empty, and nothing can enter it
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if hierarchy.ends_with("cpuset") {
                    let value = fs::read_to_string(parent.join(file))
                        .with_context(|| format!("read {file} of {}", parent.display()))?;
                    fs::write(dir.join(file), value.trim_end())
                        .with_context(|| format!("write {file} of {}", dir.display()))?;
                }
            }
        }
    }
    Ok(())
}

/// Ends every process of the cluster and removes its cgroups. Nothing is found by name: only who is inside counts.
pub(super) fn remove() -> Result<()> {
    let roots: Vec<PathBuf> = hierarchies()?.into_iter().map(|dir| dir.join(CGROUP)).collect();
    let began = clock::now();
    while began.elapsed() < Duration::from_secs(20) {
        for root in &roots {
            fs::write(root.join("cgroup.kill"), "1").ok();
        }
        let left = members(&roots);
        if left.is_empty() && roots.iter().all(|root| remove_tree(root)) {
            return Ok(());
        }
        for pid in left.into_iter().filter_map(Pid::from_raw) {
            kill_process(pid, Signal::KILL).ok();
        }
        clock::pause(LOOK);
    }
    bail!(
        "cgroups of the cluster could not be removed: {:?}",
        roots.iter().filter(|root| root.is_dir()).collect::<Vec<_>>()
    )
}

fn hierarchies() -> Result<BTreeSet<PathBuf>> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(ROOT).with_context(|| format!("read {ROOT}"))? {
        let dir = fs::canonicalize(entry?.path())?;
        if dir.join("cgroup.procs").is_file() {
            all.insert(dir);
        }
    }
    Ok(all)
}

fn members(roots: &[PathBuf]) -> BTreeSet<i32> {
    let mut pids = BTreeSet::new();
    for root in roots {
        visit(root, &mut |dir| {
            let procs = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
            pids.extend(procs.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
        });
    }
    pids
}

/// Whether nothing is left of it.
fn remove_tree(root: &Path) -> bool {
    visit(root, &mut |dir| {
        fs::remove_dir(dir).ok();
    });
    !root.is_dir()
}

/// Depth first, the directory itself last.
fn visit(dir: &Path, see: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            visit(&entry.path(), see);
        }
    }
    see(dir);
}
