//! The files of one segment: written in `tmp/`, checksummed on the way, moved into place whole.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::io as seal_io;
use crate::SealError;
use crate::disk::{Disk, DiskFile, create_dirs};
use crate::segment::{Entry, FileEntry, META};
use crate::state::Shared;

/// Bytes that are handed to the disk at once.
const BUFFER: usize = 256 << 10;

/// A file that counts and checksums what is written to it.
pub(crate) struct Checked {
    file: Box<dyn DiskFile>,
    buffer: Vec<u8>,
    bytes: u64,
    crc: u32,
}

impl Checked {
    pub(crate) fn create(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        Ok(Self { file: disk.create(path)?, buffer: Vec::with_capacity(BUFFER), bytes: 0, crc: 0 })
    }

    /// Makes it durable and says what it is.
    pub(crate) fn finish(mut self, name: &str) -> io::Result<FileEntry> {
        self.flush()?;
        self.file.sync()?;
        Ok(FileEntry { name: name.to_owned(), bytes: self.bytes, crc32c: self.crc })
    }
}

impl Write for Checked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.bytes += bytes.len() as u64;
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        if bytes.len() >= BUFFER {
            self.file.write_all(bytes)?;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// A segment being written. Unless it is placed, what was written goes with it: a full disk must not become fuller.
pub(crate) struct Draft<'a> {
    shared: &'a Shared,
    pub(crate) folder: PathBuf,
    id: String,
    is_placed: bool,
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.is_placed {
            // what cannot be removed goes when the store is opened
            discard(self.shared, &self.folder);
        }
    }
}

/// Removes a folder that the catalog does not know.
pub(super) fn discard(shared: &Shared, folder: &Path) {
    match shared.disk.remove_dir_all(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::debug!(%error, folder = %folder.display(), "uncommitted files stay until a later start");
        }
    }
}

impl<'a> Draft<'a> {
    pub(crate) fn new(shared: &'a Shared, id: String) -> Result<Self, SealError> {
        let folder = shared.root.join("tmp").join(&id);
        // left by a seal that failed: nothing refers to it
        match shared.disk.remove_dir_all(&folder) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(seal_io("clear", &folder)(error)),
        }
        shared.disk.create_dir_all(&folder).map_err(seal_io("make", &folder))?;
        Ok(Self { shared, folder, id, is_placed: false })
    }

    pub(crate) fn create(&self, name: &str) -> Result<Checked, SealError> {
        let path = self.folder.join(name);
        Checked::create(&*self.shared.disk, &path).map_err(seal_io("make", &path))
    }

    /// Writes `meta.json` and moves the folder to where the entry says.
    pub(crate) fn place(mut self, entry: &Entry) -> Result<(), SealError> {
        let Self { shared, ref folder, ref id, .. } = self;
        let meta = folder.join(META);
        let text = serde_json::to_vec_pretty(entry).map_err(io::Error::other);
        let mut file = shared.disk.create(&meta).map_err(seal_io("make", &meta))?;
        text.and_then(|text| file.write_all(&text)).map_err(seal_io("write", &meta))?;
        file.sync().map_err(seal_io("sync", &meta))?;
        shared.disk.sync_dir(folder).map_err(seal_io("sync", folder))?;
        let place = shared.root.join(&entry.path);
        let hour = place.parent().unwrap_or(&shared.root);
        create_dirs(&*shared.disk, &shared.root, hour).map_err(seal_io("make", hour))?;
        match shared.disk.rename(folder, &place) {
            Ok(()) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                ) =>
            {
                // an earlier attempt came this far and was never committed
                tracing::debug!(segment = %id, "uncommitted segment replaced");
                shared.disk.remove_dir_all(&place).map_err(seal_io("clear", &place))?;
                shared.disk.rename(folder, &place).map_err(seal_io("move", &place))?;
            }
            Err(error) => return Err(seal_io("move", &place)(error)),
        }
        if let Err(error) = shared.disk.sync_dir(hour) {
            discard(shared, &place);
            return Err(seal_io("sync", hour)(error));
        }
        self.is_placed = true;
        Ok(())
    }
}
