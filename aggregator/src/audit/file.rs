//! Files of bounded size and number: `audit.log`, then `audit.log.1` (the newest set aside) and so on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;

use super::Place;

/// The file that is written, and how long it is.
#[derive(Debug)]
pub(super) struct Files {
    place: Place,
    file: File,
    bytes: u64,
}

impl Files {
    pub(super) fn open(place: Place) -> io::Result<Self> {
        if let Some(parent) = place.path.parent() {
            fs::create_dir_all(parent)?;
        }
        let (file, bytes) = open(&place)?;
        Ok(Self { place, file, bytes })
    }

    /// One record, whole.
    pub(super) fn write(&mut self, record: &[u8]) -> io::Result<()> {
        if self.bytes > 0 && self.bytes.saturating_add(record.len() as u64) > self.place.max_bytes {
            self.rotate()?;
        }
        self.file.write_all(record)?;
        self.bytes += record.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        for number in (1..self.place.keep).rev() {
            match fs::rename(self.aside(number), self.aside(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.place.path, self.aside(1))?;
        (self.file, self.bytes) = open(&self.place)?;
        Ok(())
    }

    fn aside(&self, number: u32) -> PathBuf {
        let mut name = self.place.path.clone().into_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

fn open(place: &Place) -> io::Result<(File, u64)> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&place.path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

#[cfg(test)]
mod tests {
    use super::{Files, Place};

    #[test]
    fn size_and_number_are_bounded_and_no_record_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit/audit.log");
        let place = Place { path: path.clone(), max_bytes: 25, keep: 2 };
        let mut files = Files::open(place.clone()).unwrap();
        for number in 0..5 {
            files.write(format!("record {number}\n").as_bytes()).unwrap();
        }
        drop(files);
        let mut files = Files::open(place).unwrap();
        files.write(b"record 5\n").unwrap();
        files.write(b"record 6\n").unwrap();
        let read = |suffix: &str| std::fs::read_to_string(format!("{}{suffix}", path.display())).ok();
        assert_eq!(read("").as_deref(), Some("record 6\n"));
        assert_eq!(read(".1").as_deref(), Some("record 4\nrecord 5\n"));
        assert_eq!(read(".2").as_deref(), Some("record 2\nrecord 3\n"));
        assert_eq!(read(".3"), None);
    }
}
