//! Opens what lies under a log's name, which whoever owns the directory may have chosen.
//!
//! The agent reads as root. A service that owns its log directory must not have it read other people's files, nor keep
//! it waiting, so:
//! - a symbolic link is followed only if root made it, or the owner of the file that it leads to;
//! - a file with several names is read only where nobody but its owner, or root alone, can have given it this one;
//! - only regular files are opened, and never in a way that waits (a FIFO).
//!
//! Each rule is checked on the descriptor that is then read, so that nothing can be changed between look and use.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};

/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;
/// Write permission of the group and of all others.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// A path without symbolic links, and who made those that led there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    link_owners: Vec<u32>,
}

impl Place {
    /// Follows the links of an absolute path.
    ///
    /// # Errors
    /// When a part of it does not exist or may not be looked at.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let mut rest: Vec<PathBuf> = parts(path);
        let mut place = Self { path: PathBuf::from("/"), link_owners: Vec::new() };
        while let Some(part) = rest.pop() {
            if part == Path::new("..") {
                place.path.pop();
                continue;
            }
            let next = place.path.join(&part);
            let at = open_at(CWD, &next, OFlags::PATH | OFlags::NOFOLLOW, ResolveFlags::empty())?;
            let stat = rustix::fs::fstat(&at)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
                place.path = next;
                continue;
            }
            place.link_owners.push(stat.st_uid);
            if place.link_owners.len() > MAX_LINKS {
                return Err(rustix::io::Errno::LOOP.into());
            }
            let target = rustix::fs::readlinkat(&at, "", Vec::new())?;
            let target = Path::new(std::ffi::OsStr::from_bytes(target.as_bytes()));
            if target.is_absolute() {
                place.path = PathBuf::from("/");
            }
            rest.append(&mut parts(target));
        }
        Ok(place)
    }

    /// A path that nothing is known of, since it cannot be looked at now.
    pub(crate) fn unresolved(path: &Path) -> Self {
        Self { path: path.to_owned(), link_owners: Vec::new() }
    }

    /// Opens the file for reading.
    ///
    /// # Errors
    /// `InvalidInput` when it is not a regular file, `PermissionDenied` also when somebody else's name leads there.
    pub(crate) fn open(&self) -> io::Result<File> {
        self.open_beside(&self.path)
    }

    /// Opens a rotated file in the same directory.
    ///
    /// # Errors
    /// As `open`.
    pub(crate) fn open_beside(&self, path: &Path) -> io::Result<File> {
        let (parent, name) = path.parent().zip(path.file_name()).ok_or(io::ErrorKind::NotFound)?;
        let parent = open_at(CWD, parent, OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::NO_SYMLINKS)?;
        // a device may act on being opened
        let before = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
            return Err(not_a_file());
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = File::from(open_at(&parent, Path::new(name), flags, ResolveFlags::NO_SYMLINKS)?);
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(not_a_file());
        }
        self.check(&metadata, &rustix::fs::fstat(&parent)?)?;
        Ok(file)
    }

    fn check(&self, file: &Metadata, directory: &Stat) -> io::Result<()> {
        let refuse = |reason: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        let owner = file.uid();
        if let Some(maker) = self.link_owners.iter().find(|&&maker| maker != 0 && maker != owner) {
            return refuse(format!("a symbolic link of user {maker} leads to a file of user {owner}"));
        }
        if file.nlink() > 1 && !may_have_names(owner, directory.st_uid, directory.st_mode) {
            return refuse(format!("a file of user {owner} has a second name, which others may have made"));
        }
        Ok(())
    }
}

/// Whether a further name of a file of `owner` in this directory can only have been made by the owner or by root.
fn may_have_names(owner: u32, directory_owner: u32, directory_mode: u32) -> bool {
    (directory_owner == 0 || directory_owner == owner) && directory_mode & WRITABLE_BY_OTHERS == 0
}

/// Whether this error of `open` says that there is something, but no file.
pub(crate) fn is_no_file(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput
}

fn not_a_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

fn open_at(
    directory: impl std::os::fd::AsFd,
    path: &Path,
    flags: OFlags,
    resolve: ResolveFlags,
) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat2(directory, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?)
}

/// The parts of a path, the first one last.
fn parts(path: &Path) -> Vec<PathBuf> {
    let is_part = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(is_part).map(|part| PathBuf::from(part.as_os_str())).rev().collect()
}

#[cfg(test)]
mod tests;
