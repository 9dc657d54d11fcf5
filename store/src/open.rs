//! Opening a store: lock, format, catalog, WAL.

mod covered;
mod mend;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::batch;
use crate::catalog::{self, Contents, Loaded, Manifest};
use crate::dedupe::{BatchKey, Dedupe};
use crate::disk::{Disk, is_full, write_whole};
use crate::head::Head;
use crate::maintain::reserve;
use crate::registry;
use crate::seal;
use crate::segment::{Reader, Segment};
use crate::state::{Shared, State, WalFile};
use crate::stats::Counts;
use crate::wal;
use crate::{Limits, OpenError, Table};

/// The format of this release, and the oldest that it reads.
const FORMAT: u32 = 1;
/// A segment that no catalog names is removed when it is older.
const ORPHAN_NS: i128 = 3_600_000_000_000;

/// What was found when the store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Batches read from the WAL.
    pub batches: u64,
    /// Rows that are in the head again; more may have been sealed while the WAL was read.
    pub rows: u64,
    /// Bytes of torn records at the end of WAL and manifest, which was never acknowledged.
    pub torn_bytes: u64,
    /// Damaged parts of WAL and catalog: acknowledged data, or what was known of it, is lost. Each says where and why.
    pub damaged: Vec<String>,
    /// Where the catalog could not be read, and what the segments said in its place; nothing of this is lost.
    pub rebuilt: Vec<String>,
    /// Tables that only a newer release knows, with what is kept of each; nobody can ask for it here.
    pub unknown_tables: Vec<String>,
}

/// An opened store, before its threads run.
pub(crate) struct Opened {
    pub(crate) shared: Shared,
    pub(crate) next_lsn: i64,
    pub(crate) lock: File,
    pub(crate) recovered: Recovered,
}

pub(crate) fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    limits: Limits,
    now_ns: i64,
) -> Result<Opened, OpenError> {
    for folder in ["", "wal", "catalog", "seg", "tmp"] {
        let folder = dir.join(folder);
        disk.create_dir_all(&folder).map_err(io("make", &folder))?;
    }
    let lock = lock(&dir.join("LOCK"))?;
    check_format(&*disk, dir)?;
    let mut loaded = catalog::load(&dir.join("catalog"))?;
    let folders = segment_folders(dir)?;
    let catalog = mend::catalog(&*disk, dir, &mut loaded, &folders)?;
    let torn_bytes = loaded.torn_bytes;
    let (state, unknown_tables) = state(dir, &loaded)?;
    // the catalog is written anew, also on a full disk; housekeeping makes the reserve again
    reserve::give_back(&*disk, dir);
    let manifest = Manifest::start(Arc::clone(&disk), dir.join("catalog"), loaded)?;
    clear(&*disk, dir, manifest.contents(), &folders, now_ns)?;
    let reader = Arc::new(Reader::new(limits.cache_bytes));
    let shared = Shared::new(dir.to_owned(), disk, limits, reader, manifest, state);
    registry::load(&shared);
    let known_lsn = shared.manifest().contents().next_lsn - 1;
    let mut recovered = replay(&shared, now_ns)?;
    let next_lsn = shared.state().went_on_from(known_lsn);
    shared.rows.send_replace(next_lsn - 1);
    recovered.torn_bytes += torn_bytes;
    Counts::add(&shared.counts.lost_records, catalog.damaged.len() as u64);
    recovered.damaged.splice(..0, catalog.damaged);
    recovered.rebuilt = catalog.rebuilt;
    recovered.unknown_tables = unknown_tables;
    Ok(Opened { shared, next_lsn, lock, recovered })
}

/// What the catalog says, before the WAL adds to it, and which tables only a newer release knows: their segments stay
/// in the catalog and on disk as they are, count as the store's, and come back with that release.
fn state(dir: &Path, loaded: &Loaded) -> Result<(State, Vec<String>), OpenError> {
    let contents = &loaded.contents;
    let mut segments: [Vec<Arc<Segment>>; Table::COUNT] = Default::default();
    let mut unknown: BTreeMap<&str, (u64, u64, u64)> = BTreeMap::new();
    for entry in &contents.segments {
        let damaged = |detail: &str| OpenError::Catalog {
            path: dir.join("catalog"),
            detail: format!("segment {}: {detail}", entry.path),
        };
        let segment = Segment::new(entry.clone(), dir).ok_or_else(|| damaged("lies outside the store"))?;
        match entry.table() {
            Some(table) => segments[table.index()].push(Arc::new(segment)),
            None => {
                let (count, rows, bytes) = unknown.entry(&entry.table).or_default();
                *count += 1;
                *rows = rows.saturating_add(entry.rows);
                *bytes = bytes.saturating_add(entry.file_bytes());
            }
        }
    }
    let unknown_bytes = unknown.values().map(|(.., bytes)| *bytes).fold(0, u64::saturating_add);
    let described = |(table, (count, rows, bytes)): (&str, (u64, u64, u64))| {
        format!("{table:?}: {rows} rows in {count} segments, {bytes} bytes, are kept and cannot be asked for")
    };
    let unknown = unknown.into_iter().map(described).collect();
    let sealed = |table: Table| contents.sealed_through.get(table.name()).copied().unwrap_or(-1);
    let state = State {
        head: Head::default(),
        segments: segments.map(Arc::new),
        version: contents.version,
        dedupe: Dedupe::from_entries(contents.dedupe.clone()),
        in_flight: HashMap::new(),
        own: None,
        // a seal while the WAL is read must not claim more than was read until then
        last_lsn: -1,
        wal: Vec::new(),
        wal_writing: false,
        wal_given_up: -1,
        stopped: None,
        disk_full: false,
        // nothing goes before the list is written anew: `next_lsn` may be ahead of it
        remembered_through: -1,
        sealed_through: Table::ALL.map(sealed),
        doomed: Vec::new(),
        gone_before: Table::ALL
            .map(|table| contents.gone_before.get(table.name()).copied().unwrap_or(i64::MIN)),
        unknown_bytes,
    };
    Ok((state, unknown))
}

/// Every folder that may be a segment: `seg / tenant / table / date / hour / id`.
fn segment_folders(dir: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let mut level = vec![dir.join("seg")];
    for _ in 0..5 {
        let mut below = Vec::new();
        for folder in &level {
            below.extend(children(folder)?);
        }
        level = below;
    }
    Ok(level)
}

/// Removes what a stop left behind: drafts, and segments older than an hour that no catalog names.
fn clear(
    disk: &dyn Disk,
    dir: &Path,
    contents: &Contents,
    folders: &[PathBuf],
    now_ns: i64,
) -> Result<(), OpenError> {
    let tmp = dir.join("tmp");
    for path in children(&tmp)? {
        disk.remove_dir_all(&path).map_err(io("clear", &path))?;
    }
    let known: HashSet<PathBuf> = contents.segments.iter().map(|entry| dir.join(&entry.path)).collect();
    for folder in folders.iter().filter(|folder| !known.contains(*folder)) {
        let changed = match fs::metadata(folder).and_then(|metadata| metadata.modified()) {
            Ok(changed) => changed,
            // set aside
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io("look at", folder)(error)),
        };
        let age = i128::from(now_ns) - nanos(changed);
        if age > ORPHAN_NS {
            tracing::info!(folder = %folder.display(), "uncommitted segment removed");
            disk.remove_dir_all(folder).map_err(io("clear", folder))?;
        }
    }
    Ok(())
}

fn nanos(time: std::time::SystemTime) -> i128 {
    let since = time.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    i128::try_from(since).unwrap_or(i128::MAX)
}

/// What lies in a folder; nothing if it is a file.
fn children(folder: &Path) -> Result<Vec<PathBuf>, OpenError> {
    match fs::read_dir(folder) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .map_err(io("list", folder)),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(Vec::new()),
        Err(error) => Err(io("list", folder)(error)),
    }
}

/// Puts back into the head what the WAL has and no segment does.
fn replay(shared: &Shared, now_ns: i64) -> Result<Recovered, OpenError> {
    let mut recovered = Recovered::default();
    let folder = shared.root.join("wal");
    let mut seen: HashSet<BatchKey> = HashSet::new();
    let mut has_room = true;
    let covered = shared.manifest().contents().covered.clone();
    let mut files: Vec<WalFile> = Vec::new();
    let read = wal::read_files(&*shared.disk, &folder, |index, record| {
        // the same batch twice could only be there if a write that failed had reached the disk
        if !seen.insert(record.key.clone()) {
            return Ok(());
        }
        let (lsn, admitted_ns, key) = (record.lsn, record.now_ns, record.key.clone());
        let admitted = batch::admit(
            record.key,
            record.zstd_payload,
            record.unpacked_bytes,
            admitted_ns,
            &shared.limits,
            batch::Arrival::Log,
        );
        let admitted = match admitted.and_then(|admitted| covered::leave_out(admitted, lsn, &covered)) {
            Ok(admitted) => admitted,
            Err(refused) => {
                recovered
                    .damaged
                    .push(format!("batch {}/{}/{}: {}", key.node, key.epoch, key.seq, refused.detail));
                return Ok(());
            }
        };
        let last_lsn = lsn + admitted.places - 1;
        let tables = {
            let mut state = shared.state();
            let tables = state.publish(admitted, lsn).map_err(|source| {
                OpenError::Replay(crate::SealError::Arrange { table: "a batch", source })
            })?;
            state.dedupe.insert(&key, admitted_ns);
            tables
        };
        recovered.batches += 1;
        while files.len() <= index {
            files.push(WalFile {
                first_lsn: lsn,
                path: PathBuf::new(),
                bytes: 0,
                last_lsn: -1,
                tables: [-1; Table::COUNT],
            });
        }
        let file = &mut files[index];
        file.last_lsn = file.last_lsn.max(last_lsn);
        file.tables.iter_mut().zip(tables).for_each(|(known, lsn)| *known = (*known).max(lsn));
        // in the same memory as when the rows came: what is too much is sealed on the way
        let full = shared.state().head.bytes() >= shared.limits.head_bytes / 2;
        if full && has_room {
            has_room = sealed(shared, now_ns)?;
        }
        Ok(())
    });
    let (read, damages, torn) = read?;
    recovered.torn_bytes = torn;
    recovered.damaged.extend(damages.iter().map(|damage| {
        format!("{} at {}: {} bytes: {}", damage.file.display(), damage.offset, damage.bytes, damage.detail)
    }));
    let mut state = shared.state();
    recovered.rows = Table::ALL.iter().map(|table| state.head.table(*table).rows as u64).sum();
    for (mut file, read) in files.into_iter().zip(read) {
        file.first_lsn = wal::first_lsn(&read.path).unwrap_or(file.first_lsn);
        file.path = read.path;
        file.bytes = read.bytes;
        state.note_wal(file);
    }
    drop(state);
    let lost = u64::try_from(recovered.damaged.len()).unwrap_or(u64::MAX);
    Counts::add(&shared.counts.lost_records, lost);
    Ok(recovered)
}

/// Seals while the log is read again; false where the disk has no room. Then the rest is read all the same, as it was in
/// memory before: only an open store can make room.
fn sealed(shared: &Shared, now_ns: i64) -> Result<bool, OpenError> {
    match seal::seal(shared, &Table::ALL, now_ns) {
        Ok(_) => Ok(true),
        Err(crate::SealError::Io { source, .. }) if is_full(&source) && shared.state().stopped.is_none() => {
            tracing::warn!(error = %source, "no room to seal while the log is read again");
            Ok(false)
        }
        Err(error) => Err(OpenError::Replay(error)),
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let options = File::options().create(true).truncate(false).write(true).open(path);
    let file = options.map_err(io("open", path))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::Locked { path: path.to_owned() }),
        Err(error) => Err(io("lock", path)(error.into())),
    }
}

/// `FORMAT` says which format the store has, the oldest reader of it, and who wrote it.
fn check_format(disk: &dyn Disk, dir: &Path) -> Result<(), OpenError> {
    let path = dir.join("FORMAT");
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = format!(
                "format {FORMAT}\noldest_reader {FORMAT}\nwritten_by {}\n",
                env!("CARGO_PKG_VERSION")
            );
            write_whole(disk, &path, text.as_bytes()).map_err(io("write", &path))
        }
        Err(error) => Err(io("read", &path)(error)),
        Ok(text) => {
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            let oldest = field("oldest_reader ").and_then(|number| number.parse::<u32>().ok());
            match oldest {
                Some(oldest) if oldest <= FORMAT => Ok(()),
                _ => Err(OpenError::TooNew {
                    path,
                    found: field("format ").and_then(|number| number.parse().ok()).unwrap_or(0),
                    supported: FORMAT,
                    written_by: field("written_by ").unwrap_or("an unknown release").to_owned(),
                }),
            }
        }
    }
}

pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { operation, path, source }
}
