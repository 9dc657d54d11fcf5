//! Opening a store: lock, format, catalog, WAL.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::batch;
use crate::dedupe::Dedupe;
use crate::disk::{Disk, write_whole};
use crate::head::Head;
use crate::segment::Reader;
use crate::state::{Shared, State, WalFile};
use crate::wal;
use crate::{Limits, OpenError, Table};

/// The format of this release, and the oldest that it reads.
const FORMAT: u32 = 1;

/// What was found when the store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Batches read from the WAL.
    pub batches: u64,
    /// Rows that came back into the head.
    pub rows: u64,
    /// Bytes of a torn record at the WAL's end, which was never acknowledged.
    pub torn_bytes: u64,
    /// Damaged parts of the WAL: acknowledged data that is lost. Each says where and why.
    pub damaged: Vec<String>,
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
    _now_ns: i64,
) -> Result<Opened, OpenError> {
    for folder in ["", "wal", "catalog", "seg", "tmp"] {
        let folder = dir.join(folder);
        disk.create_dir_all(&folder).map_err(io("make", &folder))?;
    }
    let lock = lock(&dir.join("LOCK"))?;
    check_format(&*disk, dir)?;
    let state = State {
        head: Head::default(),
        segments: std::array::from_fn(|_| Arc::default()),
        version: 0,
        dedupe: Dedupe::default(),
        in_flight: std::collections::HashMap::new(),
        last_lsn: 0,
        wal: Vec::new(),
        stopped: None,
        disk_full: false,
    };
    let shared = Shared::new(dir.to_owned(), Arc::clone(&disk), limits, Arc::new(Reader::default()), state);
    let recovered = replay(&shared, [-1; Table::COUNT])?;
    let next_lsn = shared.state().last_lsn + 1;
    Ok(Opened { shared, next_lsn, lock, recovered })
}

/// Puts back into the head what the WAL has and no segment does.
fn replay(shared: &Shared, sealed_through: [i64; Table::COUNT]) -> Result<Recovered, OpenError> {
    let mut recovered = Recovered::default();
    let folder = shared.root.join("wal");
    let mut seen = Dedupe::default();
    let mut files: Vec<WalFile> = Vec::new();
    let read = wal::read_files(&*shared.disk, &folder, |index, record| {
        // the same batch twice could only be there if a write that failed had reached the disk
        if seen.contains(&record.key) {
            return Ok(());
        }
        seen.insert(&record.key, record.now_ns);
        let (lsn, now_ns, key) = (record.lsn, record.now_ns, record.key.clone());
        let admitted =
            batch::admit(record.key, record.zstd_payload, record.unpacked_bytes, now_ns, &shared.limits);
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(refused) => {
                recovered
                    .damaged
                    .push(format!("batch {}/{}/{}: {}", key.node, key.epoch, key.seq, refused.detail));
                return Ok(());
            }
        };
        let (rows, last_lsn) = (admitted.answer.rows, lsn + admitted.places - 1);
        let mut state = shared.state();
        let tables = state
            .publish(admitted, lsn, &sealed_through)
            .map_err(|source| OpenError::Replay(crate::SealError::Arrange { table: "a batch", source }))?;
        state.dedupe.insert(&key, now_ns);
        recovered.batches += 1;
        recovered.rows += rows;
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
        Ok(())
    });
    let (read, damages, torn) = read?;
    recovered.torn_bytes = torn;
    recovered.damaged.extend(damages.iter().map(|damage| {
        format!("{} at {}: {} bytes: {}", damage.file.display(), damage.offset, damage.bytes, damage.detail)
    }));
    let mut state = shared.state();
    for (mut file, read) in files.into_iter().zip(read) {
        file.first_lsn = wal::first_lsn(&read.path).unwrap_or(file.first_lsn);
        file.path = read.path;
        file.bytes = read.bytes;
        state.note_wal(file);
    }
    drop(state);
    let lost = u64::try_from(recovered.damaged.len()).unwrap_or(u64::MAX);
    crate::stats::Counts::add(&shared.counts.lost_records, lost);
    Ok(recovered)
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
