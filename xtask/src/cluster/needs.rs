//! What a machine must have for a cluster of its own, and what to say where it has not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::{run, tree};

/// Program and the Debian package that holds it.
const PROGRAMS: [(&str, &str); 12] = [
    ("etcd", "etcd-server"),
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("conntrack", "conntrack"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("openssl", "openssl"),
    ("busybox", "busybox-static"),
    ("curl", "curl"),
];

/// The first steps of `node.sh`.
const TRIED: &str = "mount --make-rprivate / && mount -t tmpfs tmpfs /run && mount -t sysfs sysfs /sys";

/// Where Debian's package puts the network plugins.
pub(super) const CNI: &str = "/usr/lib/cni";

/// Why no cluster can run here, with every reason at once; `None` if one can.
pub(super) fn lacking() -> Option<String> {
    let mut reasons = Vec::new();
    if !rustix::process::geteuid().is_root() {
        reasons.push("it needs root (namespaces, cgroups, mounts)".to_owned());
    } else if let Some(why) = no_namespaces() {
        reasons.push(format!("root may not make namespaces and mounts here, as in a container: {why}"));
    }
    if std::env::consts::ARCH != "x86_64" {
        reasons.push("its images are made for x86_64 only".to_owned());
    }
    let mut packages: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package).collect();
    if !Path::new(CNI).join("bridge").is_file() {
        packages.push("containernetworking-plugins");
    }
    packages.dedup();
    if !packages.is_empty() {
        reasons.push(format!("apt-get install {}", packages.join(" ")));
    }
    if !hybrid() {
        reasons.push(
            "its nodes want cgroup v1 controllers with cgroup2 in /sys/fs/cgroup/unified; on a machine with cgroup2 \
             alone give it a cluster of yours (kind, k3s): cargo xtask cluster test --context NAME"
                .to_owned(),
        );
    }
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

pub(super) fn check() -> Result<()> {
    match lacking() {
        Some(reasons) => bail!("no cluster can run on this machine: {reasons}"),
        None => Ok(()),
    }
}

/// `program`, also where only root's `PATH` reaches.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    tree::find_program(program, &[PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
}

/// What a node begins with, tried: why not, if not. Nothing of it outlives the shell.
fn no_namespaces() -> Option<String> {
    let unshare = find("unshare")?;
    let mut tried = Command::new(unshare);
    tried.args(["--mount", "--uts", "--cgroup", "--net", "--", "sh", "-ec", TRIED]);
    run::read(&mut tried).err().map(|error| format!("{error:#}").replace('\n', " "))
}

fn hybrid() -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let has = |kind: &str, dir: &str| {
        mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).any(|mount| {
            mount.get(2) == Some(&kind) && mount.get(1).is_some_and(|mounted| mounted.starts_with(dir))
        })
    };
    has("cgroup2", "/sys/fs/cgroup/unified") && has("cgroup", "/sys/fs/cgroup/")
}
