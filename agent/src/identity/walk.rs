//! The cgroup tree as it stands: directories are cgroups, their inodes the ids.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A cgroup found by a walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Inode of the directory.
    pub id: u64,
    /// Path from the hierarchy's root, `/` for the root itself.
    pub path: String,
}

/// Every cgroup below `root`, parents before children. What vanishes meanwhile is left out.
///
/// # Errors
/// When the root itself cannot be read.
pub fn walk(root: &Path) -> io::Result<Vec<Found>> {
    let mut found = vec![Found { id: std::fs::metadata(root)?.ino(), path: String::from("/") }];
    let mut next = vec![(root.to_path_buf(), String::new())];
    while let Some((directory, path)) = next.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let Ok(metadata) = entry.metadata() else { continue };
            if !is_directory {
                continue;
            }
            let path = format!("{path}/{}", entry.file_name().to_string_lossy());
            found.push(Found { id: metadata.ino(), path: path.clone() });
            next.push((entry.path(), path));
        }
    }
    Ok(found)
}

/// Where this host mounts its cgroup hierarchies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts {
    /// cgroup v2, `None` on a v1-only host.
    pub cgroup2: Option<PathBuf>,
    /// cgroup v1, controller name → mount point.
    pub v1: std::collections::BTreeMap<String, PathBuf>,
}

/// Reads them from the text of `/proc/self/mountinfo`.
pub fn mounts(mountinfo: &str) -> Mounts {
    let mut mounts = Mounts::default();
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let Some(at) = left.split(' ').nth(4) else { continue };
        let mut right = right.split(' ');
        let (kind, options) = (right.next(), right.nth(1).unwrap_or_default());
        match kind {
            Some("cgroup2") if mounts.cgroup2.is_none() => mounts.cgroup2 = Some(PathBuf::from(at)),
            Some("cgroup") => {
                for controller in options.split(',').filter(|option| !option.contains('=')) {
                    mounts.v1.entry(controller.to_owned()).or_insert_with(|| PathBuf::from(at));
                }
            }
            _ => {}
        }
    }
    mounts
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{mounts, walk};

    #[test]
    fn hybrid_mounts_are_told_apart() {
        let text = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
            33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
            40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\nnonsense\n";
        let mounts = mounts(text);
        assert_eq!(mounts.cgroup2.as_deref(), Some(Path::new("/sys/fs/cgroup/unified")));
        assert_eq!(mounts.v1["cpuacct"], Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(mounts.v1["cpu"], Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert!(!mounts.v1.contains_key("name=systemd"));
    }

    #[test]
    fn the_walk_finds_parents_first() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("a/b")).unwrap();
        std::fs::write(root.path().join("a/cpu.stat"), "").unwrap();
        let paths: Vec<_> = walk(root.path()).unwrap().into_iter().map(|found| found.path).collect();
        assert_eq!(paths, ["/", "/a", "/a/b"]);
    }
}
