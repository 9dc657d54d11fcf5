//! Whose path stands in `/proc/<pid>/cgroup`: of which node, and where below its root.
//!
//! The kernel writes such paths relative to the reader's cgroup namespace, `/..` for each level above it. The node's
//! root is a position of the same kind, so whether a process lies below it can be told without knowing a name above
//! this process; its path only where those names are known.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::mounts::Mounts;

#[cfg(test)]
mod tests;

/// The node's root as this process sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeView {
    /// Levels above this process's cgroup namespace.
    up: usize,
    /// From there down to the node's root.
    down: Vec<String>,
    /// From the node's root to the root of this process's cgroup namespace, where that is known.
    own: Option<Vec<String>>,
}

/// How many levels up, and which names down from there.
pub fn position(path: &str) -> (usize, Vec<&str>) {
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    let up = names.iter().take_while(|name| **name == "..").count();
    (up, names.into_iter().skip(up).collect())
}

impl NodeView {
    /// The node's root is the mount with this root in `/proc/self/mountinfo`.
    pub fn new(root: &str) -> Self {
        let (up, down) = position(root);
        let down: Vec<String> = down.into_iter().map(str::to_owned).collect();
        let own = (up == 0 && down.is_empty()).then(Vec::new);
        Self { up, down, own }
    }

    /// By what is mounted here.
    pub fn of(mounts: &Mounts) -> Self {
        let view = Self::new(&mounts.cgroup2_root);
        let namespace = mounts.namespace.as_deref().and_then(|path| std::fs::metadata(path).ok());
        match (mounts.cgroup2.as_deref(), namespace) {
            (Some(node), Some(namespace)) => view.find_own(node, namespace.ino()),
            _ => view,
        }
    }

    /// Looks for this process's namespace, whose root is a cgroup of this id, below the node's root.
    pub fn find_own(self, node: &Path, namespace_id: u64) -> Self {
        if self.own.is_some() || !self.down.is_empty() {
            return self;
        }
        let own = below(node, namespace_id, self.up);
        Self { own, ..self }
    }

    /// Whether a process with this path belongs to the node.
    pub fn holds(&self, path: &str) -> bool {
        let (up, down) = position(path);
        if self.down.is_empty() {
            return up <= self.up;
        }
        up == self.up
            && down.len() >= self.down.len()
            && self.down.iter().zip(down).all(|(own, name)| own == name)
    }

    /// The path below the node's root; `None` where it belongs to another node, or a name on the way is not known.
    pub fn relative(&self, path: &str) -> Option<String> {
        if !self.holds(path) {
            return None;
        }
        let (up, down) = position(path);
        let shared = self.up - up;
        let mut names: Vec<&str> = Vec::new();
        if shared > 0 {
            names.extend(self.own.as_ref()?.get(..shared)?.iter().map(String::as_str));
        }
        names.extend(down.into_iter().skip(self.down.len()));
        Some(format!("/{}", names.join("/")))
    }
}

/// The names on the way down to a cgroup that lies so many levels below a directory.
fn below(directory: &Path, id: u64, levels: usize) -> Option<Vec<String>> {
    if levels == 0 {
        return (std::fs::metadata(directory).ok()?.ino() == id).then(Vec::new);
    }
    for entry in std::fs::read_dir(directory).ok()?.flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if let Some(mut names) = below(&entry.path(), id, levels - 1) {
            names.insert(0, entry.file_name().to_string_lossy().into_owned());
            return Some(names);
        }
    }
    None
}
