//! The manifest file: appended to, replaced by a fresh snapshot when it has grown, named by `CURRENT`.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::record::{
    CommitError, Contents, Decoded, Edit, Record, decode, encode_contents, encode_edit, was_whole,
};
use crate::OpenError;
use crate::disk::{Disk, DiskFile, write_whole};

const MAGIC: &[u8; 8] = b"WAKECAT1";
const CURRENT: &str = "CURRENT";
/// A manifest is replaced when it is this much larger than what it would be replaced by, bytes.
const SLACK: u64 = 4 << 20;

/// The catalog, open for edits. One at a time.
pub(crate) struct Manifest {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    number: u64,
    /// `None` after a rotation failed half way; the next commit tries again.
    file: Option<Box<dyn DiskFile>>,
    bytes: u64,
    snapshot_bytes: u64,
    contents: Contents,
    /// Nobody knows what is on disk: nothing is written behind it.
    is_unknown: bool,
}

impl fmt::Debug for Manifest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Manifest").field("number", &self.number).field("bytes", &self.bytes).finish()
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) contents: Contents,
    number: u64,
    /// The manifest that was read, if there is one.
    pub(crate) path: Option<PathBuf>,
    /// Newer ones of which nothing could be used.
    pub(crate) passed_over: Vec<PathBuf>,
    /// Bytes of an edit at the end that is not whole.
    pub(crate) torn_bytes: u64,
    /// What could not be read before the end; each says where and why.
    pub(crate) damage: Vec<String>,
    /// Whether the list of stored batches is as it was before the last damage.
    pub(crate) dedupe_is_old: bool,
    /// (table, path) of segments that a whole edit took out.
    pub(crate) removed: HashSet<(String, String)>,
}

impl Loaded {
    /// Whether an edit may be missing, so that the segments must be asked.
    pub(crate) fn is_uncertain(&self) -> bool {
        self.torn_bytes > 0 || !self.damage.is_empty()
    }
}

/// Reads the manifest that `CURRENT` names; where that cannot be, the newest that can be read.
///
/// # Errors
/// If a file cannot be read, or was written by a newer release. Damage is no error.
pub(crate) fn load(folder: &Path) -> Result<Loaded, OpenError> {
    let mut manifests = list(folder)?;
    let current = folder.join(CURRENT);
    let mut damage = Vec::new();
    let (mut is_named, mut is_stale) = (true, false);
    match fs::read(&current) {
        Ok(name) => {
            let name = String::from_utf8_lossy(&name).into_owned();
            match number_of(name.trim()).filter(|number| manifests.contains(number)) {
                // whatever came after it was never made current
                Some(number) => manifests.retain(|other| *other <= number),
                None => {
                    // one that is gone: what there is may be older
                    is_stale = number_of(name.trim()).is_some();
                    damage.push(format!("{} names {:?}", current.display(), name.trim()));
                }
            }
        }
        // before the first manifest is current there may be a part of it
        Err(error) if error.kind() == io::ErrorKind::NotFound => is_named = false,
        Err(source) => return Err(OpenError::Io { operation: "read", path: current, source }),
    }
    let newest = manifests.iter().max().copied().unwrap_or(0);
    let mut best: Option<Loaded> = None;
    let mut passed_over = Vec::new();
    manifests.sort_unstable();
    for number in manifests.into_iter().rev() {
        let path = folder.join(file_name(number));
        let bytes = fs::read(&path).map_err(crate::open::io("read", &path))?;
        let parsed = parse(&bytes, &path)?;
        let whole = parsed.has_snapshot;
        if whole || (is_named && best.is_none()) {
            // what an older one says is older: what was damaged since must still be asked of the segments
            if let Some(newer) = best.take() {
                damage.extend(newer.damage);
                passed_over.extend(newer.path);
            }
            let Parsed { contents, torn_bytes, damage, dedupe_is_old, removed, .. } = parsed;
            best = Some(Loaded {
                contents,
                number,
                path: Some(path),
                passed_over: Vec::new(),
                torn_bytes,
                damage,
                dedupe_is_old,
                removed,
            });
        }
        if whole {
            break;
        }
    }
    let mut loaded = best.unwrap_or_default();
    loaded.number = newest;
    loaded.dedupe_is_old |= is_stale || !passed_over.is_empty();
    loaded.damage.splice(..0, damage);
    loaded.passed_over = passed_over;
    Ok(loaded)
}

fn list(folder: &Path) -> Result<Vec<u64>, OpenError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).map_err(crate::open::io("list", folder))? {
        let name = entry.map_err(crate::open::io("list", folder))?.file_name();
        numbers.extend(name.to_str().and_then(number_of));
    }
    Ok(numbers)
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("MANIFEST-")?.parse().ok()
}

fn file_name(number: u64) -> String {
    format!("MANIFEST-{number:06}")
}

/// What a manifest's bytes amount to.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) contents: Contents,
    pub(super) has_snapshot: bool,
    pub(super) torn_bytes: u64,
    pub(super) damage: Vec<String>,
    dedupe_is_old: bool,
    removed: HashSet<(String, String)>,
}

/// Reads every whole record, and says what lies between them.
///
/// # Errors
/// If a newer release wrote it.
pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<Parsed, OpenError> {
    let mut parsed = Parsed::default();
    let mut at = MAGIC.len();
    if !bytes.starts_with(MAGIC) {
        parsed.hole(path, 0, "wrong magic");
        at = next_record(bytes, 0).unwrap_or(bytes.len());
    }
    while at < bytes.len() {
        match decode(&bytes[at..]) {
            Decoded::Record(record, len) => {
                match record {
                    Record::Contents(found) if !parsed.has_snapshot => {
                        parsed.contents = *found;
                        parsed.has_snapshot = true;
                        parsed.dedupe_is_old = false;
                    }
                    Record::Contents(_) => parsed.hole(path, at, "a second snapshot"),
                    Record::Edit(edit) => parsed.apply(*edit),
                }
                at += len;
            }
            Decoded::Newer { version } => {
                return Err(OpenError::TooNew {
                    path: path.to_owned(),
                    found: u32::from(version),
                    supported: u32::from(super::record::VERSION),
                    written_by: "an unknown release".to_owned(),
                });
            }
            Decoded::Bad(detail) => match next_record(bytes, at + 1) {
                Some(next) => {
                    parsed.hole(path, at, &detail);
                    at = next;
                }
                None if was_whole(&bytes[at..]) => {
                    parsed.hole(path, at, &detail);
                    break;
                }
                None => {
                    parsed.torn_bytes = (bytes.len() - at) as u64;
                    break;
                }
            },
        }
    }
    if !parsed.has_snapshot {
        parsed.hole(path, 0, "no snapshot");
    }
    Ok(parsed)
}

/// The next position at which a whole record lies.
fn next_record(bytes: &[u8], from: usize) -> Option<usize> {
    (from..bytes.len()).find(|at| {
        // kind and version first: the checksum of every position would take minutes
        matches!(bytes.get(at + 8..at + 10), Some([1 | 2, super::record::VERSION]))
            && matches!(decode(&bytes[*at..]), Decoded::Record(..))
    })
}

impl Parsed {
    fn hole(&mut self, path: &Path, at: usize, detail: &str) {
        self.damage.push(format!("{} at {at}: {detail}", path.display()));
        self.dedupe_is_old = true;
    }

    fn apply(&mut self, edit: Edit) {
        self.dedupe_is_old &= edit.dedupe.is_none();
        self.removed.extend(edit.remove.iter().cloned());
        self.contents.apply(edit);
    }
}

/// A manifest's bytes, for `crate::fuzz`. `is_json`: a snapshot's, without its frame, which is then made right.
pub(crate) fn fuzz(data: &[u8], is_json: bool) {
    let mut bytes = data.to_vec();
    if is_json {
        let Ok(contents) = serde_json::from_slice(data) else { return };
        bytes = MAGIC.to_vec();
        bytes.extend(encode_contents(&contents).unwrap_or_default());
    }
    let parsed = parse(&bytes, Path::new("fuzz"));
    let is_whole = parsed.is_ok_and(|parsed| parsed.damage.is_empty() && parsed.torn_bytes == 0);
    assert!(!is_json || is_whole, "what is written is read");
}

impl Manifest {
    /// Begins a new manifest with what was loaded.
    pub(crate) fn start(disk: Arc<dyn Disk>, folder: PathBuf, loaded: Loaded) -> Result<Self, OpenError> {
        let Loaded { contents, number, .. } = loaded;
        let mut manifest = Self {
            disk,
            folder,
            number,
            file: None,
            bytes: 0,
            snapshot_bytes: 0,
            contents,
            is_unknown: false,
        };
        let path = manifest.path(number + 1);
        match manifest.rotate() {
            Ok(()) => Ok(manifest),
            Err(CommitError::Write(source) | CommitError::Unknown(source)) => {
                Err(OpenError::Io { operation: "write", path, source })
            }
        }
    }

    pub(crate) fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Makes an edit durable, then applies it. After an error that leaves the disk unknown no further one is made.
    pub(crate) fn commit(&mut self, edit: Edit) -> Result<(), CommitError> {
        if self.is_unknown {
            return Err(CommitError::Unknown(io::Error::other("an earlier write has failed")));
        }
        let committed = self.write(&edit);
        match &committed {
            Ok(()) => self.contents.apply(edit),
            Err(error) => self.is_unknown = matches!(error, CommitError::Unknown(_)),
        }
        committed
    }

    fn write(&mut self, edit: &Edit) -> Result<(), CommitError> {
        if self.file.is_none() || self.bytes > self.snapshot_bytes * 2 + SLACK {
            self.rotate()?;
        }
        let Some(file) = self.file.as_mut() else {
            return Err(CommitError::Write(io::Error::other("no manifest is open")));
        };
        let record = encode_edit(edit).map_err(CommitError::Write)?;
        if let Err(error) = file.write_all(&record) {
            // cut off what may be there, or the next edit would follow garbage
            return match file.truncate(self.bytes) {
                Ok(()) => Err(CommitError::Write(error)),
                Err(cut) => Err(CommitError::Unknown(cut)),
            };
        }
        file.sync().map_err(CommitError::Unknown)?;
        self.bytes += record.len() as u64;
        Ok(())
    }

    /// Writes everything to a new manifest and makes it the current one.
    fn rotate(&mut self) -> Result<(), CommitError> {
        self.file = None;
        let number = self.number + 1;
        let path = self.path(number);
        let snapshot = encode_contents(&self.contents).map_err(CommitError::Write)?;
        let mut file = self.disk.create(&path).map_err(CommitError::Write)?;
        file.write_all(MAGIC).map_err(CommitError::Write)?;
        file.write_all(&snapshot).map_err(CommitError::Write)?;
        file.sync().map_err(CommitError::Unknown)?;
        self.disk.sync_dir(&self.folder).map_err(CommitError::Unknown)?;
        let name = format!("{}\n", file_name(number));
        // whichever of the two is current after a failure here, both say the same
        write_whole(&*self.disk, &self.folder.join(CURRENT), name.as_bytes())
            .map_err(CommitError::Unknown)?;
        self.number = number;
        self.remove_older();
        self.bytes = (MAGIC.len() + snapshot.len()) as u64;
        self.snapshot_bytes = self.bytes;
        self.file = Some(file);
        Ok(())
    }

    /// One that stays is removed at a later rotation: it says what was, and must not be taken for what is.
    fn remove_older(&self) {
        for number in list(&self.folder).unwrap_or_default().into_iter().filter(|other| *other < self.number)
        {
            if let Err(error) = self.disk.remove_file(&self.path(number)) {
                tracing::debug!(%error, "old manifest stays");
            }
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(file_name(number))
    }
}
