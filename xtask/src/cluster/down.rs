//! Ends the cluster, or, for the tests, one daemon of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use super::settings::{Node, State};
use super::{cgroups, daemon, needs, network, programs};
use crate::{clock, out};

pub(super) fn main() -> Result<()> {
    needs::check()?;
    let began = clock::now();
    all()?;
    out::note(&format!("the cluster is down ({:.1} s)", began.elapsed().as_secs_f64()));
    Ok(())
}

/// Everything but the logs: processes, cgroups, namespaces, bridge, and what the cluster has written: images, volumes,
/// etcd's data, keys. Mounts go with their namespace.
pub(super) fn all() -> Result<()> {
    cgroups::remove()?;
    network::remove();
    let root = State::find()?.root().clone();
    forget(&root, &["audit", "nodes"])?;
    for node in entries(&root.join("nodes"))? {
        forget(&node, &["log"])?;
    }
    Ok(())
}

/// Removes all that lies in `dir`, but for these names.
fn forget(dir: &Path, kept: &[&str]) -> Result<()> {
    for path in entries(dir)? {
        if path.file_name().is_some_and(|name| kept.iter().any(|kept| name == *kept)) {
            continue;
        }
        let metadata = fs::symlink_metadata(&path).with_context(|| format!("look at {}", path.display()))?;
        let removed = if metadata.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("remove {}", path.display()))?;
    }
    Ok(())
}

/// What lies in a directory; nothing where there is none.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .with_context(|| format!("read {}", dir.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("read {}", dir.display())),
    }
}

/// What to do to a daemon.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Act {
    /// SIGKILL, and wait for its end.
    Kill,
    /// SIGTERM, and wait for its end.
    Stop,
    /// SIGSTOP: its connections hang.
    Freeze,
    /// SIGCONT.
    Thaw,
    /// Start it as it was started first.
    Start,
}

#[derive(Debug, clap::Args)]
pub(super) struct DaemonArgs {
    act: Act,
    /// The node's number; the control plane is in 1.
    node: u8,
    /// E.g. kube-apiserver, kubelet, containerd.
    name: String,
}

pub(super) fn daemon(args: &DaemonArgs) -> Result<()> {
    let state = State::find()?;
    let node = Node { number: args.node };
    let name = node.name();
    match args.act {
        Act::Kill => daemon::signal(&state, &name, &args.name, Signal::KILL),
        Act::Stop => daemon::signal(&state, &name, &args.name, Signal::TERM),
        Act::Freeze => daemon::signal(&state, &name, &args.name, Signal::STOP),
        Act::Thaw => daemon::signal(&state, &name, &args.name, Signal::CONT),
        Act::Start => {
            if !state.node(&name).is_dir() {
                bail!("{name} is not up");
            }
            daemon::start_again(&state, &name, &args.name)?;
            if args.name == super::control_plane::APISERVER {
                super::control_plane::wait_api(&state, &programs::find()?, &node)?;
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{entries, forget};

    #[test]
    fn all_is_forgotten_but_what_is_kept() {
        let dir = std::env::temp_dir().join(format!("wake-xtask-down-{}", std::process::id()));
        for path in ["etcd/member", "kube/pki", "nodes/node1/log", "nodes/node1/root/var/lib", "audit"] {
            fs::create_dir_all(dir.join(path)).unwrap();
        }
        fs::write(dir.join("kube/pki/ca.key"), "key").unwrap();
        fs::write(dir.join("values.yaml"), "").unwrap();
        fs::write(dir.join("nodes/node1/hosts"), "").unwrap();
        std::os::unix::fs::symlink("/nowhere", dir.join("link")).unwrap();
        forget(&dir, &["audit", "nodes"]).unwrap();
        forget(&dir.join("nodes/node1"), &["log"]).unwrap();
        let names = |dir: &std::path::Path| {
            let mut names: Vec<_> =
                entries(dir).unwrap().iter().map(|path| path.file_name().unwrap().to_owned()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&dir), ["audit", "nodes"]);
        assert_eq!(names(&dir.join("nodes/node1")), ["log"]);
        assert!(entries(&dir.join("absent")).unwrap().is_empty());
        fs::remove_dir_all(&dir).unwrap();
    }
}
