//! Every change to files goes through here, so that tests can replace the disk by one that forgets and fails.
//!
//! Reads do not: they use `std::fs` on files that are complete.

#[cfg(test)]
pub(crate) mod faulty;

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// What the store asks of a disk.
pub(crate) trait Disk: Send + Sync + Debug {
    /// A new, empty file; what was there is gone.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// An existing file, to write at its end.
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes names in this folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Bytes in all and bytes that are free for us on the file system of `path`.
    fn space(&self, path: &Path) -> io::Result<(u64, u64)>;
}

/// A file open for writing.
pub(crate) trait DiskFile: Write + Send {
    /// Makes what was written durable. After an error nothing is known about it.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file and goes on writing there.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// The operating system's disk.
#[derive(Debug)]
pub(crate) struct RealDisk;

struct RealFile(File);

impl Write for RealFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl DiskFile for RealFile {
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        use std::io::{Seek as _, SeekFrom};
        self.0.set_len(len)?;
        self.0.seek(SeekFrom::Start(len)).map(drop)
    }
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile(File::create(path)?)))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile(OpenOptions::new().append(true).open(path)?)))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn space(&self, path: &Path) -> io::Result<(u64, u64)> {
        let stat = rustix::fs::statvfs(path)?;
        // blocks that are kept for others, or beyond a quota, are neither used nor free: they are no part of our disk
        let used = stat.f_blocks.saturating_sub(stat.f_bfree);
        Ok((used.saturating_add(stat.f_bavail) * stat.f_frsize, stat.f_bavail * stat.f_frsize))
    }
}

/// Makes a folder and every missing one above it, up to `root`, durable.
pub(crate) fn create_dirs(disk: &dyn Disk, root: &Path, path: &Path) -> io::Result<()> {
    disk.create_dir_all(path)?;
    let mut folder = path;
    while folder != root {
        let Some(parent) = folder.parent() else { break };
        disk.sync_dir(parent)?;
        folder = parent;
    }
    Ok(())
}

/// The disk, or our share of it, has no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Writes a small file so that it is there whole or not at all.
pub(crate) fn write_whole(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let tmp = path.with_extension("tmp");
    let mut file = disk.create(&tmp)?;
    file.write_all(bytes)?;
    file.sync()?;
    drop(file);
    disk.rename(&tmp, path)?;
    path.parent().map_or(Ok(()), |parent| disk.sync_dir(parent))
}
