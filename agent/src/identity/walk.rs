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

/// What a walk saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// Every cgroup that was found, parents before children.
    pub found: Vec<Found>,
    /// Paths that could not be read although they are there: what is below may live unseen.
    pub unread: Vec<String>,
}

impl Walk {
    /// Whether this cgroup may live although it was not found.
    pub fn missed(&self, path: &str) -> bool {
        self.unread.iter().any(|unread| {
            path.strip_prefix(unread.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

/// Every cgroup below `root`. What vanishes meanwhile is left out; what cannot be read for another reason is told.
///
/// # Errors
/// When the root itself cannot be read.
pub fn walk(root: &Path) -> io::Result<Walk> {
    let found = vec![Found { id: std::fs::metadata(root)?.ino(), path: String::from("/") }];
    let mut walk = Walk { found, unread: Vec::new() };
    let mut next = vec![(root.to_path_buf(), String::new())];
    while let Some((directory, path)) = next.pop() {
        if let Err(error) = list(&directory, &path, &mut walk.found, &mut next)
            && !has_vanished(&error)
        {
            tracing::debug!(directory = %directory.display(), %error, "cgroup directory not read");
            walk.unread.push(path);
        }
    }
    Ok(walk)
}

/// Adds the cgroups right below a directory.
fn list(
    directory: &Path,
    path: &str,
    found: &mut Vec<Found>,
    next: &mut Vec<(PathBuf, String)>,
) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let id = match entry.metadata() {
            Ok(metadata) => metadata.ino(),
            Err(error) if has_vanished(&error) => continue,
            Err(error) => return Err(error),
        };
        let path = format!("{path}/{}", entry.file_name().to_string_lossy());
        found.push(Found { id, path: path.clone() });
        next.push((entry.path(), path));
    }
    Ok(())
}

/// A cgroup that is removed while it is read is no error.
fn has_vanished(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}

#[cfg(test)]
mod tests {
    use super::{Walk, has_vanished, walk};

    #[test]
    fn the_walk_finds_parents_first() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("a/b")).unwrap();
        std::fs::write(root.path().join("a/cpu.stat"), "").unwrap();
        let walk = walk(root.path()).unwrap();
        let paths: Vec<_> = walk.found.into_iter().map(|found| found.path).collect();
        assert_eq!(
            (paths, walk.unread),
            (vec!["/".into(), "/a".into(), "/a/b".into()], Vec::<String>::new())
        );
    }

    #[test]
    fn what_is_below_a_directory_that_was_not_read_was_missed() {
        let walk = Walk { found: Vec::new(), unread: vec!["/a".into()] };
        assert!(walk.missed("/a/b") && walk.missed("/a/b/c") && !walk.missed("/ab") && !walk.missed("/b"));
        assert!(Walk { unread: vec![String::new()], ..walk }.missed("/b"));
    }

    #[test]
    fn only_what_has_vanished_is_left_out_silently() {
        let vanished = |code| has_vanished(&std::io::Error::from_raw_os_error(code));
        assert!(vanished(libc::ENOENT) && vanished(libc::ENODEV));
        assert!(!vanished(libc::EMFILE) && !vanished(libc::EIO) && !vanished(libc::EACCES));
    }
}
