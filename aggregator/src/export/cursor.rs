//! How far a table was sent, on disk: one line of text, written anew and synced before it replaces the old one.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

const HEAD: &str = "wake-export 1 ";

/// How far a table was sent.
#[derive(Debug)]
pub(super) struct Cursor {
    path: PathBuf,
    lsn: i64,
    saved: i64,
}

/// The place where export goes on cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CursorError {
    /// The file is there and cannot be read.
    #[error("read where the export goes on, {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("write where the export goes on, {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Cursor {
    /// Goes on where the file says; at `first` if there is none. No position behind `last` is believed: the data may be
    /// another's.
    pub(super) async fn open(dir: &Path, name: &str, first: i64, last: i64) -> Result<Self, CursorError> {
        let path = dir.join(format!("otlp-{name}"));
        let read = |source| CursorError::Read { path: path.clone(), source };
        let known = match tokio::fs::read(&path).await {
            Ok(bytes) => match parse(&bytes) {
                Some(lsn) => Some(lsn),
                None => {
                    tracing::warn!(path = %path.display(), "cannot be understood; the export begins anew");
                    None
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(read(error)),
        };
        let mut cursor = Self { lsn: known.unwrap_or(first).min(last), saved: i64::MIN, path };
        cursor.save().await?;
        Ok(cursor)
    }

    /// The last position that was sent.
    pub(super) fn lsn(&self) -> i64 {
        self.lsn
    }

    /// Everything up to this position was sent.
    pub(super) fn advance(&mut self, lsn: i64) {
        self.lsn = self.lsn.max(lsn);
    }

    /// Makes it durable, if there is news.
    pub(super) async fn save(&mut self) -> Result<(), CursorError> {
        if self.lsn == self.saved {
            return Ok(());
        }
        let (path, lsn) = (self.path.clone(), self.lsn);
        let written = tokio::task::spawn_blocking(move || write(&path, lsn)).await;
        let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
        written.map_err(|source| CursorError::Write { path: self.path.clone(), source })?;
        self.saved = self.lsn;
        Ok(())
    }
}

fn write(path: &Path, lsn: i64) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    daemon::private::directory(dir)?;
    let new = path.with_extension("new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(format!("{HEAD}{lsn}\n").as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    std::fs::File::open(dir)?.sync_all()
}

/// The position that a file's bytes say.
fn parse(bytes: &[u8]) -> Option<i64> {
    let line = std::str::from_utf8(bytes).ok()?.strip_prefix(HEAD)?.strip_suffix('\n')?;
    line.parse().ok().filter(|lsn| *lsn >= -1)
}

#[cfg(test)]
mod tests {
    use super::{Cursor, parse};

    #[tokio::test]
    async fn it_goes_on_where_it_was_and_believes_no_position_that_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("export");
        let mut cursor = Cursor::open(&dir, "logs", 7, 7).await.unwrap();
        assert_eq!(cursor.lsn(), 7, "the first start");
        cursor.advance(12);
        cursor.advance(9);
        cursor.save().await.unwrap();
        assert_eq!(Cursor::open(&dir, "logs", 50, 50).await.unwrap().lsn(), 12);
        assert_eq!(Cursor::open(&dir, "spans", -1, 50).await.unwrap().lsn(), -1);
        assert_eq!(Cursor::open(&dir, "logs", 5, 5).await.unwrap().lsn(), 5, "another store");
        std::fs::write(dir.join("otlp-logs"), "wake-export 1 12").unwrap();
        assert_eq!(Cursor::open(&dir, "logs", 50, 50).await.unwrap().lsn(), 50, "half written");
    }

    #[test]
    fn nothing_but_a_position_is_understood() {
        assert_eq!(parse(b"wake-export 1 3\n"), Some(3));
        for bytes in [&b""[..], b"wake-export 2 3\n", b"wake-export 1 -2\n", b"wake-export 1 3\n\n", b"\xff"]
        {
            assert_eq!(parse(bytes), None);
        }
    }
}
