//! Files of bounded size and number: `audit.log`, then `audit.log.1` (the newest set aside) and so on.
//!
//! A full file becomes `audit.log.0` before any older one is moved, and an older one is moved only into a gap or over the
//! oldest: however often setting aside fails, it costs at most the oldest file. What somebody moves away is begun anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;

use super::Place;

/// The file that is written, which it is, and how long.
#[derive(Debug)]
pub(super) struct Files {
    place: Place,
    file: File,
    id: Id,
    bytes: u64,
}

/// Device and inode.
type Id = (u64, u64);

impl Files {
    pub(super) fn open(place: Place) -> io::Result<Self> {
        if let Some(parent) = place.path.parent() {
            fs::create_dir_all(parent)?;
        }
        let (file, id, bytes) = open(&place)?;
        Ok(Self { place, file, id, bytes })
    }

    /// One record, whole.
    pub(super) fn write(&mut self, record: &[u8]) -> io::Result<()> {
        if !self.is_in_place()? {
            self.reopen()?;
        }
        if self.bytes > 0 && self.bytes.saturating_add(record.len() as u64) > self.place.max_bytes {
            self.rotate()?;
        }
        self.file.write_all(record)?;
        self.bytes += record.len() as u64;
        Ok(())
    }

    /// Whether the open file is the one that people find.
    fn is_in_place(&self) -> io::Result<bool> {
        match fs::metadata(&self.place.path) {
            Ok(found) => Ok(id(&found) == self.id),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        (self.file, self.id, self.bytes) = open(&self.place)?;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        // left by an attempt that failed
        self.shift()?;
        match fs::rename(&self.place.path, self.aside(0)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.shift()?;
        self.reopen()
    }

    /// Moves number 0 to 1, and those before the first gap out of its way.
    fn shift(&self) -> io::Result<()> {
        if !self.aside(0).try_exists()? {
            return Ok(());
        }
        let mut gap = 1;
        while gap < self.place.keep && self.aside(gap).try_exists()? {
            gap += 1;
        }
        for number in (0..gap).rev() {
            fs::rename(self.aside(number), self.aside(number + 1))?;
        }
        Ok(())
    }

    fn aside(&self, number: u32) -> PathBuf {
        let mut name = self.place.path.clone().into_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

fn open(place: &Place) -> io::Result<(File, Id, u64)> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&place.path)?;
    let found = file.metadata()?;
    Ok((file, id(&found), found.len()))
}

fn id(found: &fs::Metadata) -> Id {
    use std::os::unix::fs::MetadataExt as _;
    (found.dev(), found.ino())
}

#[cfg(test)]
mod tests {
    use super::{Files, Place};

    fn files(keep: u32) -> (tempfile::TempDir, std::path::PathBuf, Files) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let files = Files::open(Place { path: path.clone(), max_bytes: 18, keep }).unwrap();
        (dir, path, files)
    }

    fn write(files: &mut Files, numbers: std::ops::Range<u32>) {
        numbers.for_each(|number| drop(files.write(format!("record {number}\n").as_bytes())));
    }

    /// What is in the file and those set aside.
    fn read(path: &std::path::Path) -> Vec<Option<String>> {
        let names = ["", ".0", ".1", ".2", ".3"];
        names.map(|name| std::fs::read_to_string(format!("{}{name}", path.display())).ok()).into()
    }

    fn records(numbers: &[u32]) -> Option<String> {
        Some(numbers.iter().map(|number| format!("record {number}\n")).collect())
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew_and_history_stays() {
        let (_dir, path, mut files) = files(3);
        write(&mut files, 0..6);
        std::fs::rename(&path, path.with_extension("mine")).unwrap();
        write(&mut files, 6..8);
        assert_eq!(read(&path), [records(&[6, 7]), None, records(&[2, 3]), records(&[0, 1]), None]);
        write(&mut files, 8..9);
        let set_aside = [None, records(&[6, 7]), records(&[2, 3]), records(&[0, 1])];
        assert_eq!((&read(&path)[0], &read(&path)[1..]), (&records(&[8]), &set_aside[..]));
    }

    #[test]
    fn a_failed_attempt_to_set_aside_costs_no_history_and_is_made_good() {
        let (_dir, path, mut files) = files(3);
        write(&mut files, 0..6);
        // stands for a full disk: nothing can become number 3 while a directory has that name
        std::fs::create_dir_all(path.with_extension("log.3").join("x")).unwrap();
        write(&mut files, 6..12);
        let found = read(&path);
        assert_eq!(found[1..4], [records(&[4, 5]), records(&[2, 3]), records(&[0, 1])]);
        assert_eq!(
            found[0],
            records(&[7, 8]),
            "6 found no place, what came after is refused when it is full"
        );
        std::fs::remove_dir_all(path.with_extension("log.3")).unwrap();
        write(&mut files, 12..13);
        assert_eq!(read(&path), [records(&[12]), None, records(&[7, 8]), records(&[4, 5]), records(&[2, 3])]);
    }

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
