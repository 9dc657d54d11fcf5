//! Tells by inotify that files of a directory changed. Where it cannot, the poll once a second remains.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// Most events that are taken at once.
const MAX_EVENTS: usize = 4096;

/// Watches directories.
#[derive(Debug)]
pub(crate) struct Watch {
    inotify: OwnedFd,
    by_descriptor: BTreeMap<i32, PathBuf>,
    watched: BTreeSet<PathBuf>,
}

/// What happened since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Files came, went or moved: look at the directories.
    pub(crate) names: bool,
    /// Events were lost: look at everything.
    pub(crate) lost: bool,
    /// Files that were written to.
    pub(crate) written: BTreeSet<PathBuf>,
}

impl Watch {
    /// # Errors
    /// When the kernel gives no inotify instance.
    pub(crate) fn new() -> Result<Self, Errno> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self { inotify, by_descriptor: BTreeMap::new(), watched: BTreeSet::new() })
    }

    /// Watches these directories and no others. Whether one of them was not watched before: what happened in it until
    /// now was not told.
    ///
    /// # Errors
    /// The first one, if a directory could not be watched; the others are.
    pub(crate) fn set(&mut self, directories: &BTreeSet<PathBuf>) -> Result<bool, Errno> {
        let events = WatchFlags::CREATE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::MODIFY
            | WatchFlags::ONLYDIR;
        let mut result = Ok(false);
        for directory in directories.difference(&self.watched.clone()) {
            match inotify::add_watch(&self.inotify, directory, events) {
                Ok(descriptor) => {
                    self.by_descriptor.insert(descriptor, directory.clone());
                    self.watched.insert(directory.clone());
                    result = result.map(|_| true);
                }
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) => result = result.and(Err(error)),
            }
        }
        let surplus = self.by_descriptor.iter().filter(|(_, path)| !directories.contains(*path));
        let surplus: Vec<(i32, PathBuf)> =
            surplus.map(|(&descriptor, path)| (descriptor, path.clone())).collect();
        for (descriptor, path) in surplus {
            if let Err(error) = inotify::remove_watch(&self.inotify, descriptor) {
                tracing::debug!(%error, directory = %path.display(), "the directory is gone, its watch with it");
            }
            self.forget(descriptor, &path);
        }
        result
    }

    fn forget(&mut self, descriptor: i32, path: &Path) {
        self.by_descriptor.remove(&descriptor);
        self.watched.remove(path);
    }

    /// Takes what happened; does not wait.
    pub(crate) fn take(&mut self) -> Changes {
        let mut changes = Changes::default();
        let mut ended = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut reader = Reader::new(self.inotify.as_fd(), &mut buffer);
        for _ in 0..MAX_EVENTS {
            let Ok(event) = reader.next() else { break };
            let flags = event.events();
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                changes.lost = true;
            }
            if flags.contains(ReadFlags::IGNORED) {
                ended.push(event.wd());
            }
            if flags.intersects(
                ReadFlags::CREATE | ReadFlags::MOVED_FROM | ReadFlags::MOVED_TO | ReadFlags::DELETE,
            ) {
                changes.names = true;
            }
            if flags.contains(ReadFlags::MODIFY)
                && let Some(directory) = self.by_descriptor.get(&event.wd())
                && let Some(name) = event.file_name()
            {
                changes.written.insert(directory.join(OsStr::from_bytes(name.to_bytes())));
            }
        }
        for descriptor in ended {
            if let Some(path) = self.by_descriptor.get(&descriptor).cloned() {
                self.forget(descriptor, &path);
                changes.names = true;
            }
        }
        changes
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::Watch;
    use std::collections::BTreeSet;

    #[test]
    fn writes_and_new_names_are_told() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a.log");
        let mut watch = Watch::new().unwrap();
        watch.set(&BTreeSet::from([root.path().to_owned()])).unwrap();
        std::fs::write(&file, "x").unwrap();
        let changes = watch.take();
        assert!(changes.names && changes.written.contains(&file));
        assert_eq!(watch.take(), super::Changes::default());
        watch.set(&BTreeSet::new()).unwrap();
        std::fs::write(&file, "y").unwrap();
        assert!(watch.take().written.is_empty());
    }
}
