//! A segment of the catalog: where its files lie, whether they are what was written, and how to open them.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::delays::{OBSERVED, STORED};
use super::{
    BODY, BodyFile, ColumnsFile, DATA, Entry, MergedSketch, PATTERNS, PatternCounts, SKETCH, Sketch, TERMS,
    Terms, bad,
};
use crate::{ScanError, Table};

/// A segment of the catalog.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Unique while the store is open.
    pub(crate) number: u64,
    pub(crate) entry: Entry,
    pub(crate) folder: PathBuf,
    checked: AtomicBool,
}

impl Segment {
    pub(crate) fn new(entry: Entry, root: &Path) -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let folder = entry.folder(root)?;
        Some(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            entry,
            folder,
            checked: AtomicBool::new(false),
        })
    }

    pub(crate) fn times(&self) -> (i64, i64) {
        (self.entry.min_ts, self.entry.max_ts)
    }

    pub(crate) fn last_lsn(&self) -> i64 {
        self.entry.max_lsn
    }

    pub(crate) fn rows(&self) -> u64 {
        self.entry.rows
    }

    pub(crate) fn file_bytes(&self) -> u64 {
        self.entry.file_bytes()
    }

    /// `data.parquet` is as it was written. Parquet's own pages are not checksummed, so this is done once, whole.
    fn check_data(&self) -> io::Result<()> {
        if !self.checked.load(Ordering::Relaxed) {
            self.check(DATA)?;
            self.checked.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn check(&self, name: &str) -> io::Result<()> {
        let known =
            self.entry.files.iter().find(|file| file.name == name).ok_or_else(|| bad("a file is missing"))?;
        match checksum(&self.folder.join(name))? {
            found if found == (known.bytes, known.crc32c) => Ok(()),
            _ => Err(bad(&format!("wrong checksum of {name}"))),
        }
    }

    /// `data.parquet`, with the columns that this release knows.
    pub(crate) fn open_columns(&self) -> io::Result<ColumnsFile> {
        self.check_data()?;
        let file = ColumnsFile::open(&self.folder.join(DATA))?;
        let table = self.entry.table().ok_or_else(|| bad("an unknown table"))?;
        check_columns(&file, table)?;
        let rows = file.metadata.metadata().file_metadata().num_rows();
        if u64::try_from(rows) != Ok(self.entry.rows) {
            return Err(bad("another number of rows than the catalog says"));
        }
        Ok(file)
    }

    /// `body.bin`.
    pub(crate) fn open_body(&self) -> io::Result<BodyFile> {
        let file = BodyFile::open(&self.folder.join(BODY))?;
        match u64::from(file.rows()) == self.entry.rows {
            true => Ok(file),
            false => Err(bad("another number of bodies than the catalog says")),
        }
    }

    /// `sketch.parquet`, if there is one.
    pub(crate) fn open_sketch(&self) -> io::Result<Option<Sketch>> {
        if !self.entry.files.iter().any(|file| file.name == SKETCH) {
            return Ok(None);
        }
        self.check(SKETCH)?;
        Sketch::open(&self.folder.join(SKETCH)).map(Some)
    }

    /// Adds what the sketch says to others.
    pub(crate) fn add_sketch(&self, merged: &mut MergedSketch) -> io::Result<()> {
        self.check(SKETCH)?;
        merged.add(&self.folder.join(SKETCH))
    }

    /// `patterns.parquet`, if there is one.
    pub(crate) fn open_patterns(&self) -> io::Result<Option<PatternCounts>> {
        if !self.entry.files.iter().any(|file| file.name == PATTERNS) {
            return Ok(None);
        }
        self.check(PATTERNS)?;
        PatternCounts::read(&self.folder.join(PATTERNS)).map(Some)
    }

    /// `terms.bin`, if there is one.
    pub(crate) fn open_terms(&self) -> io::Result<Option<Terms>> {
        if !self.entry.files.iter().any(|file| file.name == TERMS) {
            return Ok(None);
        }
        self.check(TERMS)?;
        Terms::open(&self.folder.join(TERMS), self.entry.rows).map(Some)
    }

    pub(super) fn unreadable(&self, detail: impl ToString) -> ScanError {
        let mut detail = detail.to_string();
        // what this release cannot read another one may
        let writer = self.entry.written_by.as_str();
        if !writer.is_empty() && writer != super::this_release() {
            detail.push_str("; release ");
            detail.extend(writer.chars().filter(|letter| !letter.is_control()).take(64));
            detail.push_str(" wrote it");
        }
        ScanError::SegmentUnreadable {
            segment: self.entry.id.clone(),
            from_ns: self.entry.min_ts,
            to_ns: self.entry.max_ts,
            detail,
        }
    }
}

/// The file has the columns that this release knows, with their types, but for those that may be absent and were added
/// since; further ones do not matter.
fn check_columns(file: &ColumnsFile, table: Table) -> io::Result<()> {
    for field in table.file_schema().fields() {
        match file.metadata.schema().field_with_name(field.name()) {
            Ok(found) if found.data_type() == field.data_type() => {}
            Ok(found) => return Err(bad(&format!("column {} is {}", field.name(), found.data_type()))),
            // written before the column was added
            Err(_) if field.is_nullable() => {}
            Err(_) if field.name() == OBSERVED && file.metadata.schema().index_of(STORED).is_ok() => {}
            Err(_) => return Err(bad(&format!("no column {}", field.name()))),
        }
    }
    Ok(())
}

/// Length and crc32c of a file.
pub(crate) fn checksum(path: &Path) -> io::Result<(u64, u32)> {
    let mut file = std::fs::File::open(path)?;
    let (mut bytes, mut crc) = (0, 0);
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((bytes, crc));
        }
        crc = crc32c::crc32c_append(crc, &buffer[..read]);
        bytes += read as u64;
    }
}
