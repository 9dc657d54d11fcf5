//! `terms.bin`: which terms the rows of a table have, a bloom for every 4,096 rows.
//!
//! A term is a column and its value (`name` of a span), or a key of `attributes` and its value. A bloom says that a term is
//! nowhere among its rows, for certain, or that it may be: so a search for few rows reads few. It only repeats what the
//! columns say: where it is missing or damaged, all rows are read. Format: `format.md`.

mod write;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::bad;
use super::body::bloom;
use crate::Table;
use crate::scan::{Filter, Test};

pub(crate) use write::TermsWriter;

/// The file.
pub(crate) const TERMS: &str = "terms.bin";

const MAGIC: &[u8; 8] = b"WAKETERM";
const VERSION: u32 = 1;
/// Rows of a bloom.
const ROWS: u32 = 4_096;
/// The most bytes of a bloom; where that is too little, its rows are always read.
const MOST_BYTES: usize = 64 << 10;
/// `pages u32 | footer_crc u32 | version u32 | magic`, after the pages.
const TAIL: usize = 20;
/// A page in the footer: where its bloom starts, and its blocks.
const PAGE: usize = 12;
/// A segment has no more rows than 32 bits count.
const MOST_PAGES: usize = 1 << 20;

/// Columns of a table whose values are terms; all keys of `attributes` are, too. None: the table has no such file.
pub(crate) fn columns(table: Table) -> &'static [&'static str] {
    match table {
        Table::Span => &["service", "workload", "name", "status", "pod", "attributes"],
        Table::Process => &["workload", "pod", "executable", "event"],
        Table::KubeEvent => &["reason", "regarding_name", "regarding_uid"],
        Table::ObjectChange => &["name", "uid"],
        _ => &[],
    }
}

/// The hash of a term.
fn hash(column: &str, key: &str, value: &[u8], buffer: &mut Vec<u8>) -> u64 {
    buffer.clear();
    for part in [column.as_bytes(), key.as_bytes()] {
        buffer.extend_from_slice(part);
        buffer.push(0);
    }
    buffer.extend_from_slice(value);
    bloom::hash(buffer)
}

/// The term that a row must have to pass a condition, if there is one.
fn term(table: Table, filter: &Filter, buffer: &mut Vec<u8>) -> Option<u64> {
    let is_kept = columns(table).contains(&filter.name.as_str());
    match &filter.test {
        Test::Text(value) if is_kept && !value.is_empty() => {
            Some(hash(&filter.name, "", value.as_bytes(), buffer))
        }
        Test::Entry(key, value) if is_kept && !value.is_empty() => {
            Some(hash(&filter.name, key, value.as_bytes(), buffer))
        }
        _ => None,
    }
}

/// An open file of terms.
#[derive(Debug)]
pub(crate) struct Terms {
    file: File,
    /// Where each bloom starts, and its blocks; 0: the rows may have anything.
    pages: Vec<(u64, u32)>,
}

impl Terms {
    /// A file whose checksum was right, of so many rows.
    pub(crate) fn open(path: &Path, rows: u64) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        let tail_at = len.checked_sub(TAIL as u64).ok_or_else(|| bad("short file"))?;
        let mut tail = [0; TAIL];
        file.read_exact_at(&mut tail, tail_at)?;
        let number = |at: usize| u32::from_le_bytes([tail[at], tail[at + 1], tail[at + 2], tail[at + 3]]);
        if &tail[12..] != MAGIC {
            return Err(bad("wrong magic"));
        }
        if number(8) != VERSION {
            return Err(bad("written by a newer release"));
        }
        let count = number(0) as usize;
        if count > MOST_PAGES || count as u64 != rows.div_ceil(u64::from(ROWS)) {
            return Err(bad("terms of other rows"));
        }
        let footer_at =
            tail_at.checked_sub((count * PAGE) as u64).ok_or_else(|| bad("footer beyond the file"))?;
        let mut footer = vec![0; count * PAGE];
        file.read_exact_at(&mut footer, footer_at)?;
        if crc32c::crc32c(&footer) != number(4) {
            return Err(bad("wrong checksum of the footer"));
        }
        let page = |bytes: &[u8; PAGE]| {
            let [a, b, c, d, e, f, g, h, i, j, k, l] = *bytes;
            (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u32::from_le_bytes([i, j, k, l]))
        };
        let pages: Vec<(u64, u32)> = footer.as_chunks::<PAGE>().0.iter().map(page).collect();
        let within = |(at, blocks): &(u64, u32)| {
            at.checked_add(u64::from(*blocks) * bloom::BLOCK as u64).is_some_and(|end| end <= footer_at)
        };
        if !pages.iter().all(within) {
            return Err(bad("a bloom beyond the file"));
        }
        Ok(Self { file, pages })
    }

    /// Memory, bytes.
    pub(crate) fn memory(&self) -> usize {
        self.pages.len() * size_of::<(u64, u32)>() + 256
    }

    /// Of these rows those that may pass all conditions.
    pub(crate) fn possible(
        &self,
        table: Table,
        rows: Vec<Range<u32>>,
        filters: &[Filter],
    ) -> io::Result<Vec<Range<u32>>> {
        let mut buffer = Vec::new();
        let asked: Vec<u64> = filters.iter().filter_map(|filter| term(table, filter, &mut buffer)).collect();
        if asked.is_empty() {
            return Ok(rows);
        }
        let mut may: Vec<Range<u32>> = Vec::new();
        for range in &rows {
            for page in range.start / ROWS..range.end.div_ceil(ROWS) {
                if self.has(page, &asked)? {
                    let start = range.start.max(page * ROWS);
                    let end = range.end.min(page.saturating_add(1).saturating_mul(ROWS));
                    match may.last_mut() {
                        Some(last) if last.end == start => last.end = end,
                        _ => may.push(start..end),
                    }
                }
            }
        }
        Ok(may)
    }

    fn has(&self, page: u32, asked: &[u64]) -> io::Result<bool> {
        let place = self.pages.get(page as usize).ok_or_else(|| bad("a row beyond the terms"))?;
        let (at, blocks) = (place.0, place.1 as usize);
        if blocks == 0 {
            return Ok(true);
        }
        for hash in asked {
            let mut block = [0; bloom::BLOCK];
            let offset = bloom::block_of(*hash, u64::from(page), blocks) * bloom::BLOCK;
            self.file.read_exact_at(&mut block, at + offset as u64)?;
            if !bloom::has(&block, *hash, u64::from(page)) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
