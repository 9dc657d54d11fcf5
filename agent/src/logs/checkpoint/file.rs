//! The checkpoint file: read once, replaced whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::{CheckpointError, Checkpoints, Mark, State, Stored};

const FILE: &str = "logs.json";
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    version: u32,
    saved_ns: u64,
    globs: Vec<String>,
    marks: Vec<Mark>,
}

pub(super) fn open(directory: &Path) -> Result<Checkpoints, CheckpointError> {
    let failed = |source| CheckpointError::Open { directory: directory.to_owned(), source };
    daemon::private::directory(directory).map_err(failed)?;
    let path = directory.join(FILE);
    let state = match fs::read(&path) {
        Ok(bytes) => match parse(&bytes) {
            Ok(stored) => State { stored, dirty: false, fresh: false },
            Err(reason) => {
                let aside = directory.join(format!("{FILE}.corrupt"));
                tracing::error!(path = %path.display(), reason, "log checkpoints unreadable, set aside, lines may be missed");
                fs::rename(&path, &aside).map_err(failed)?;
                State { fresh: true, ..State::default() }
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => State { fresh: true, ..State::default() },
        Err(error) => return Err(failed(error)),
    };
    Ok(Checkpoints { path, state: Arc::new(Mutex::new(state)), writing: Arc::default() })
}

pub(super) fn parse(bytes: &[u8]) -> Result<Stored, String> {
    let document: Document = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if document.version != VERSION {
        return Err(format!("version {} is not {VERSION}", document.version));
    }
    let marks = document.marks.into_iter();
    let positions = marks.filter_map(|mark| Some((mark.source, mark.position?))).collect();
    Ok(Stored { saved_ns: document.saved_ns, globs: document.globs, positions })
}

pub(super) fn persist(checkpoints: &Checkpoints, now_ns: u64) -> Result<(), CheckpointError> {
    let _one_at_a_time = checkpoints.writing.lock().unwrap_or_else(PoisonError::into_inner);
    let stored = {
        let mut state = checkpoints.lock();
        if !state.dirty {
            return Ok(());
        }
        state.dirty = false;
        state.stored.saved_ns = now_ns;
        state.stored.clone()
    };
    replace(&checkpoints.path, stored).map_err(|source| {
        checkpoints.lock().dirty = true;
        CheckpointError::Write { path: checkpoints.path.clone(), source }
    })
}

fn replace(path: &Path, stored: Stored) -> io::Result<()> {
    let Stored { saved_ns, globs, positions } = stored;
    let marks =
        positions.into_iter().map(|(source, position)| Mark { source, position: Some(position) }).collect();
    let bytes = serde_json::to_vec(&Document { version: VERSION, saved_ns, globs, marks })?;
    let new = path.with_extension("json.tmp");
    // never through what somebody else may have put there
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    let directory = path.parent().ok_or(io::ErrorKind::NotFound)?;
    File::open(directory)?.sync_all()
}
