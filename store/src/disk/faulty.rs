//! A disk for tests: real files in a temporary folder, that forgets what was not synced, fails, and dies when told.
//!
//! What is lost in a crash: bytes of a file after its last sync (a part of them may stay, torn), names that were
//! created, moved or removed since the folder's last sync (each may or may not stay).

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile};

/// A small seeded generator.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

/// A change of names that its folder has not been synced for.
#[derive(Debug)]
enum Pending {
    Created(PathBuf),
    Moved { from: PathBuf, to: PathBuf, replaced: Option<Vec<u8>> },
    Removed { path: PathBuf, bytes: Vec<u8> },
}

#[derive(Debug)]
struct Memory {
    random: Random,
    /// Durable length of files that were written.
    synced: HashMap<PathBuf, u64>,
    pending: Vec<Pending>,
    /// Operations until everything fails.
    until_death: Option<u64>,
    /// One operation in so many fails; 0: none.
    fail_one_in: u64,
    /// Bytes that may still be written, if the disk is small.
    room: Option<u64>,
    dead: bool,
}

/// A disk that forgets and fails.
#[derive(Clone, Debug)]
pub(crate) struct FaultyDisk(Arc<Mutex<Memory>>);

/// What an operation may do.
enum Turn {
    Go,
    Fail(io::Error),
}

impl FaultyDisk {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Memory {
            random: Random(seed),
            synced: HashMap::new(),
            pending: Vec::new(),
            until_death: None,
            fail_one_in: 0,
            room: None,
            dead: false,
        })))
    }

    /// After so many more operations every one fails, as if the machine had lost power.
    pub(crate) fn die_after(&self, operations: u64) {
        self.memory().until_death = Some(operations);
    }

    /// One operation in so many fails from now on; 0: none.
    pub(crate) fn fail_one_in(&self, operations: u64) {
        self.memory().fail_one_in = operations;
    }

    /// So many more bytes may be written until the disk is full; what is removed makes room.
    pub(crate) fn leave_room(&self, bytes: Option<u64>) {
        self.memory().room = bytes;
    }

    /// Takes room for bytes; how many there was room for.
    fn take_room(&self, bytes: usize) -> usize {
        let mut memory = self.memory();
        let Some(room) = &mut memory.room else { return bytes };
        let taken = bytes.min(usize::try_from(*room).unwrap_or(usize::MAX));
        *room -= taken as u64;
        taken
    }

    fn give_room(&self, bytes: u64) {
        if let Some(room) = &mut self.memory().room {
            *room += bytes;
        }
    }

    /// Power is back: what was not synced may be gone. The old handles stay dead.
    pub(crate) fn crash(&self) {
        let mut memory = self.memory();
        memory.dead = true;
        let pending = std::mem::take(&mut memory.pending);
        let synced = std::mem::take(&mut memory.synced);
        for (path, durable) in synced {
            let Ok(file) = OpenOptions::new().write(true).open(&path) else { continue };
            let len = file.metadata().unwrap().len();
            let kept = durable + memory.random.below(len.saturating_sub(durable) + 1);
            file.set_len(kept.min(len)).unwrap();
        }
        for change in pending.into_iter().rev() {
            if memory.random.below(2) == 0 {
                continue;
            }
            match change {
                Pending::Created(path) => drop(fs::remove_file(path)),
                Pending::Moved { from, to, replaced } => {
                    if to.try_exists().unwrap() && !from.try_exists().unwrap() {
                        fs::rename(&to, &from).unwrap();
                        if let Some(bytes) = replaced {
                            fs::write(&to, bytes).unwrap();
                        }
                    }
                }
                Pending::Removed { path, bytes } => fs::write(path, bytes).unwrap(),
            }
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> Turn {
        let mut memory = self.memory();
        if let Some(left) = &mut memory.until_death {
            match left.checked_sub(1) {
                Some(less) => *left = less,
                None => memory.dead = true,
            }
        }
        if memory.dead {
            return Turn::Fail(io::Error::other("the machine is off"));
        }
        let one_in = memory.fail_one_in;
        if one_in > 0 && memory.random.below(one_in) == 0 {
            let full = memory.random.below(2) == 0;
            let kind = if full { io::ErrorKind::StorageFull } else { io::ErrorKind::Other };
            return Turn::Fail(io::Error::new(kind, "injected"));
        }
        Turn::Go
    }

    fn try_turn(&self) -> io::Result<()> {
        match self.turn() {
            Turn::Go => Ok(()),
            Turn::Fail(error) => Err(error),
        }
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    path: PathBuf,
    file: File,
}

impl Write for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Turn::Fail(error) = self.disk.turn() {
            let mut memory = self.disk.memory();
            if !memory.dead && !bytes.is_empty() {
                // a short write before the failure
                let part = usize::try_from(memory.random.below(bytes.len() as u64)).unwrap();
                self.file.write_all(&bytes[..part])?;
            }
            return Err(error);
        }
        let len = self.disk.take_room(bytes.len());
        if len < bytes.len() {
            self.file.write_all(&bytes[..len])?;
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the disk is full"));
        }
        let all = self.disk.memory().random.below(4) > 0;
        let len = if all { bytes.len() } else { bytes.len().div_ceil(2) };
        self.file.write_all(&bytes[..len])?;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for FaultyFile {
    fn sync(&mut self) -> io::Result<()> {
        self.disk.try_turn()?;
        let len = self.file.metadata()?.len();
        self.disk.memory().synced.insert(self.path.clone(), len);
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.disk.try_turn()?;
        self.disk.give_room(self.file.metadata()?.len().saturating_sub(len));
        self.file.set_len(len)?;
        self.file.seek(SeekFrom::Start(len))?;
        let mut memory = self.disk.memory();
        if let Some(synced) = memory.synced.get_mut(&self.path) {
            *synced = (*synced).min(len);
        }
        Ok(())
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.try_turn()?;
        let file = File::create(path)?;
        let mut memory = self.memory();
        memory.synced.insert(path.to_owned(), 0);
        memory.pending.push(Pending::Created(path.to_owned()));
        Ok(Box::new(FaultyFile { disk: self.clone(), path: path.to_owned(), file }))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.try_turn()?;
        let file = OpenOptions::new().append(true).open(path)?;
        let len = file.metadata()?.len();
        self.memory().synced.insert(path.to_owned(), len);
        Ok(Box::new(FaultyFile { disk: self.clone(), path: path.to_owned(), file }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.try_turn()?;
        fs::create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.try_turn()?;
        let replaced = fs::read(to).ok();
        fs::rename(from, to)?;
        let mut memory = self.memory();
        // what lies below moves with its folder
        let moved: Vec<_> = memory.synced.keys().filter(|path| path.starts_with(from)).cloned().collect();
        for path in moved {
            let len = memory.synced.remove(&path).unwrap_or(0);
            let below = path.strip_prefix(from).unwrap();
            let place = if below.as_os_str().is_empty() { to.to_owned() } else { to.join(below) };
            memory.synced.insert(place, len);
        }
        memory.pending.retain(|change| !matches!(change, Pending::Created(path) if path.starts_with(from)));
        memory.pending.push(Pending::Moved { from: from.to_owned(), to: to.to_owned(), replaced });
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.try_turn()?;
        let bytes = fs::read(path)?;
        fs::remove_file(path)?;
        self.give_room(bytes.len() as u64);
        let mut memory = self.memory();
        memory.synced.remove(path);
        memory.pending.push(Pending::Removed { path: path.to_owned(), bytes });
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.try_turn()?;
        let files =
            if path.is_dir() { fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()? } else { Vec::new() };
        for file in files {
            self.give_room(file.metadata()?.len());
        }
        fs::remove_dir_all(path)?;
        let mut memory = self.memory();
        memory.synced.retain(|file, _| !file.starts_with(path));
        memory.pending.retain(|change| !matches!(change, Pending::Created(file) if file.starts_with(path)));
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.try_turn()?;
        let below = |changed: &Path| changed.parent() == Some(path);
        self.memory().pending.retain(|change| match change {
            Pending::Created(changed) | Pending::Removed { path: changed, .. } => !below(changed),
            Pending::Moved { to, .. } => !below(to),
        });
        Ok(())
    }

    fn space(&self, _path: &Path) -> io::Result<(u64, u64)> {
        self.try_turn()?;
        Ok((1 << 40, 1 << 39))
    }
}
