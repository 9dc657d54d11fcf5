//! The manifest file: appended to, replaced by a fresh snapshot when it has grown, named by `CURRENT`.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::record::{CommitError, Contents, Decoded, Edit, Record, decode, encode_contents, encode_edit};
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
    /// Bytes of a torn edit at the end, which was never relied on.
    pub(crate) torn_bytes: u64,
}

/// Reads the manifest that `CURRENT` names.
///
/// # Errors
/// If it cannot be read, is damaged before its end, or was written by a newer release.
pub(crate) fn load(folder: &Path) -> Result<Loaded, OpenError> {
    let current = folder.join(CURRENT);
    let name = match fs::read_to_string(&current) {
        Ok(name) => name.trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Loaded::default()),
        Err(source) => return Err(OpenError::Io { operation: "read", path: current, source }),
    };
    let Some(number) = name.strip_prefix("MANIFEST-").and_then(|number| number.parse().ok()) else {
        return Err(OpenError::Catalog { path: current, detail: format!("it names {name:?}") });
    };
    let path = folder.join(&name);
    let bytes = fs::read(&path).map_err(crate::open::io("read", &path))?;
    let (contents, torn_bytes) = parse(&bytes, &path)?;
    Ok(Loaded { contents, number, torn_bytes })
}

/// The contents that a manifest's bytes amount to, and how many bytes of a torn edit follow.
pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<(Contents, u64), OpenError> {
    let damaged = |detail: String| OpenError::Catalog { path: path.to_owned(), detail };
    let mut rest = bytes.strip_prefix(MAGIC).ok_or_else(|| damaged("wrong magic".to_owned()))?;
    let mut contents: Option<Contents> = None;
    while !rest.is_empty() {
        match decode(rest) {
            Decoded::Record(Record::Contents(found), len) if contents.is_none() => {
                contents = Some(*found);
                rest = &rest[len..];
            }
            Decoded::Record(Record::Edit(edit), len) => {
                let contents = contents.as_mut().ok_or_else(|| damaged("an edit of nothing".to_owned()))?;
                contents.apply(*edit);
                rest = &rest[len..];
            }
            Decoded::Record(Record::Contents(_), _) => return Err(damaged("a second snapshot".to_owned())),
            Decoded::Newer { version } => {
                return Err(OpenError::TooNew {
                    path: path.to_owned(),
                    found: u32::from(version),
                    supported: u32::from(super::record::VERSION),
                    written_by: "an unknown release".to_owned(),
                });
            }
            Decoded::Bad(detail) => {
                let at = bytes.len() - rest.len();
                let follows = (1..rest.len()).any(|at| matches!(decode(&rest[at..]), Decoded::Record(..)));
                if contents.is_none() || follows {
                    return Err(damaged(format!("at {at}: {detail}")));
                }
                break;
            }
        }
    }
    let contents = contents.ok_or_else(|| damaged("no snapshot".to_owned()))?;
    Ok((contents, rest.len() as u64))
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
    assert!(!is_json || parsed.is_ok(), "what is written is read");
}

impl Manifest {
    /// Begins a new manifest with what was loaded.
    pub(crate) fn start(disk: Arc<dyn Disk>, folder: PathBuf, loaded: Loaded) -> Result<Self, OpenError> {
        let Loaded { contents, number, torn_bytes: _ } = loaded;
        let mut manifest = Self { disk, folder, number, file: None, bytes: 0, snapshot_bytes: 0, contents };
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

    /// Makes an edit durable, then applies it.
    pub(crate) fn commit(&mut self, edit: Edit) -> Result<(), CommitError> {
        if self.file.is_none() || self.bytes > self.snapshot_bytes * 2 + SLACK {
            self.rotate()?;
        }
        let Some(file) = self.file.as_mut() else {
            return Err(CommitError::Write(io::Error::other("no manifest is open")));
        };
        let record = encode_edit(&edit).map_err(CommitError::Write)?;
        if let Err(error) = file.write_all(&record) {
            // cut off what may be there, or the next edit would follow garbage
            return match file.truncate(self.bytes) {
                Ok(()) => Err(CommitError::Write(error)),
                Err(cut) => Err(CommitError::Unknown(cut)),
            };
        }
        file.sync().map_err(CommitError::Unknown)?;
        self.bytes += record.len() as u64;
        self.contents.apply(edit);
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
        let name = format!("MANIFEST-{number:06}\n");
        // whichever of the two is current after a failure here, both say the same
        write_whole(&*self.disk, &self.folder.join(CURRENT), name.as_bytes())
            .map_err(CommitError::Unknown)?;
        if self.number > 0
            && let Err(error) = self.disk.remove_file(&self.path(self.number))
        {
            tracing::debug!(%error, "old manifest stays");
        }
        self.number = number;
        self.bytes = (MAGIC.len() + snapshot.len()) as u64;
        self.snapshot_bytes = self.bytes;
        self.file = Some(file);
        Ok(())
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("MANIFEST-{number:06}"))
    }
}
