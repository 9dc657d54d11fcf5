//! Where this node's cgroup hierarchies are mounted, from the text of `/proc/self/mountinfo`. Pure.
//!
//! The kernel writes a mount's root relative to the reader's cgroup namespace: `/../..` is two levels above it. So of
//! several mounts of a hierarchy (in a container: its own, and the node's by a host path) the highest is the node's.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// Where this node mounts its cgroup hierarchies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts {
    /// cgroup v2, `None` where there is only v1.
    pub cgroup2: Option<PathBuf>,
    /// What `cgroup2` is in the hierarchy, relative to this process's cgroup namespace.
    pub cgroup2_root: String,
    /// A mount of the root of this process's own cgroup namespace, which may be the same.
    pub namespace: Option<PathBuf>,
    /// cgroup v1, controller name → mount point.
    pub v1: BTreeMap<String, PathBuf>,
}

struct Mount {
    root: String,
    point: PathBuf,
    /// Of cgroup v1; `None`: cgroup2.
    controllers: Option<Vec<String>>,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ');
        let (root, point) = (unescape(left.nth(3)?), unescape(left.next()?));
        let mut right = right.split(' ');
        let kind = right.next()?;
        let options = right.nth(1).unwrap_or_default();
        let controllers = match kind {
            "cgroup2" => None,
            "cgroup" => {
                let names = options.split(',').filter(|option| !option.contains('='));
                Some(names.map(str::to_owned).collect())
            }
            _ => return None,
        };
        Some(Self { root, point: point.into(), controllers })
    }

    /// The highest first.
    fn depth(&self) -> (Reverse<usize>, usize) {
        let (up, down) = super::view::position(&self.root);
        (Reverse(up), down.len())
    }
}

/// Finds them; below `wanted` if that is given: a directory that holds the mounts, a mount of cgroup2, or a directory in
/// one, which is then the node's root.
pub fn mounts(mountinfo: &str, wanted: Option<&Path>) -> Mounts {
    let all: Vec<Mount> = mountinfo.lines().filter_map(Mount::parse).collect();
    let namespace = all.iter().find(|mount| mount.controllers.is_none() && mount.root == "/");
    let namespace = namespace.map(|mount| mount.point.clone());
    Mounts { namespace, ..find(&all, wanted) }
}

fn find(all: &[Mount], wanted: Option<&Path>) -> Mounts {
    let Some(wanted) = wanted else { return highest(all.iter()) };
    let base = if wanted.ends_with("unified") { wanted.parent().unwrap_or(wanted) } else { wanted };
    let below = highest(all.iter().filter(|mount| mount.point.starts_with(base)));
    if below.cgroup2.as_deref().is_some_and(|point| point.starts_with(wanted)) {
        return below;
    }
    inside(all, wanted)
}

fn highest<'a>(all: impl Iterator<Item = &'a Mount>) -> Mounts {
    let mut all: Vec<&Mount> = all.collect();
    all.sort_by_key(|mount| mount.depth());
    let mut mounts = Mounts::default();
    for Mount { root, point, controllers } in all {
        match controllers {
            None if mounts.cgroup2.is_none() => {
                mounts.cgroup2 = Some(point.clone());
                mounts.cgroup2_root.clone_from(root);
            }
            None => {}
            Some(controllers) => {
                for controller in controllers {
                    mounts.v1.entry(controller.clone()).or_insert_with(|| point.clone());
                }
            }
        }
    }
    mounts
}

/// A directory of a cgroup2 mount, and the directories of the same path in the hierarchies of v1.
fn inside(all: &[Mount], wanted: &Path) -> Mounts {
    let holds = |mount: &&Mount| mount.controllers.is_none() && wanted.starts_with(&mount.point);
    let Some(mount) = all.iter().filter(holds).max_by_key(|mount| mount.point.as_os_str().len()) else {
        return Mounts::default();
    };
    let Ok(path) = wanted.strip_prefix(&mount.point) else { return Mounts::default() };
    let mut mounts = highest(all.iter().filter(|other| other.controllers.is_some()));
    for point in mounts.v1.values_mut() {
        *point = point.join(path);
    }
    mounts.cgroup2 = Some(wanted.to_owned());
    mounts.cgroup2_root = format!("{}/{}", mount.root.trim_end_matches('/'), path.display());
    mounts
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
