//! `terms.bin`: which terms the rows of a table have, and which words their texts, two blooms for every 4,096 rows.
//!
//! A term is a column and its value (`name` of a span), or a key of `attributes` and its value; a word is a column and a
//! token of one of its texts. A bloom says that a term is
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
use super::tail::Tail;
use crate::Table;
use crate::scan::{Filter, Test};

pub(crate) use write::TermsWriter;

/// The file.
pub(crate) const TERMS: &str = "terms.bin";

const MAGIC: &[u8; 8] = b"WAKETERM";
/// Since the second there are words.
const VERSION: u32 = 2;
/// Rows of a bloom.
const ROWS: u32 = 4_096;
/// What the blooms of words are salted with, beside their number.
const WORDS: u64 = 1 << 32;
/// The most bytes of a bloom; where that is too little, its rows are always read.
const MOST_BYTES: usize = 64 << 10;
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

/// What rows must have to pass a condition.
#[derive(Debug)]
struct Asked {
    /// Among the words, or among the terms.
    of_words: bool,
    /// One of these, and of it everything.
    any: Vec<Vec<u64>>,
}

impl Asked {
    /// `None` where blooms say nothing of the condition.
    fn new(table: Table, filter: &Filter, buffer: &mut Vec<u8>) -> Option<Self> {
        let is_kept = columns(table).contains(&filter.name.as_str());
        let mut term = |key: &str, value: &str| {
            let hash = hash(&filter.name, key, value.as_bytes(), buffer);
            Some(Self { of_words: false, any: vec![vec![hash]] })
        };
        match &filter.test {
            Test::Text(value) if is_kept && !value.is_empty() => term("", value),
            Test::Entry(key, value) if is_kept && !value.is_empty() => term(key, value),
            Test::Says(needle) => {
                let is_kept = table.texts().contains(&filter.name.as_str());
                let words = needle.tokens().map(|token| hash(&filter.name, "", token, buffer));
                let words: Vec<u64> = words.collect();
                (is_kept && !words.is_empty()).then(|| Self { of_words: true, any: vec![words] })
            }
            Test::Any(any) => {
                let all = any.iter().map(|filter| Self::new(table, filter, buffer)?.only_words());
                Some(Self { of_words: true, any: all.collect::<Option<Vec<_>>>()? })
            }
            _ => None,
        }
    }

    fn only_words(mut self) -> Option<Vec<u64>> {
        if self.of_words { self.any.pop() } else { None }
    }
}

/// An open file of terms.
#[derive(Debug)]
pub(crate) struct Terms {
    file: File,
    /// Where each bloom starts, and its blocks; 0: the rows may have anything.
    pages: Vec<(u64, u32)>,
    /// The same of words; none in files of older releases.
    words: Vec<(u64, u32)>,
}

impl Terms {
    /// A file whose checksum was right, of so many rows.
    pub(crate) fn open(path: &Path, rows: u64) -> io::Result<Self> {
        let file = File::open(path)?;
        let tail = Tail::<2>::read(&file, MAGIC)?;
        let [count, footer_crc] = tail.numbers;
        let kinds = match tail.version {
            1 => 1,
            VERSION => 2,
            _ => return Err(bad("written by a newer release")),
        };
        let count = count as usize;
        if count > MOST_PAGES || count as u64 != rows.div_ceil(u64::from(ROWS)) {
            return Err(bad("terms of other rows"));
        }
        let (footer, footer_at) = tail.footer(&file, count * kinds * PAGE, footer_crc)?;
        let page = |bytes: &[u8; PAGE]| {
            let [a, b, c, d, e, f, g, h, i, j, k, l] = *bytes;
            (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u32::from_le_bytes([i, j, k, l]))
        };
        let mut pages: Vec<(u64, u32)> = footer.as_chunks::<PAGE>().0.iter().map(page).collect();
        let within = |(at, blocks): &(u64, u32)| {
            at.checked_add(u64::from(*blocks) * bloom::BLOCK as u64).is_some_and(|end| end <= footer_at)
        };
        if !pages.iter().all(within) {
            return Err(bad("a bloom beyond the file"));
        }
        let words = pages.split_off(count);
        Ok(Self { file, pages, words })
    }

    /// Memory, bytes.
    pub(crate) fn memory(&self) -> usize {
        (self.pages.len() + self.words.len()) * size_of::<(u64, u32)>() + 256
    }

    /// Of these rows those that may pass all conditions.
    pub(crate) fn possible(
        &self,
        table: Table,
        rows: Vec<Range<u32>>,
        filters: &[Filter],
    ) -> io::Result<Vec<Range<u32>>> {
        let mut buffer = Vec::new();
        let asked = filters.iter().filter_map(|filter| Asked::new(table, filter, &mut buffer));
        let asked: Vec<Asked> = asked.filter(|asked| !asked.of_words || !self.words.is_empty()).collect();
        if asked.is_empty() {
            return Ok(rows);
        }
        let mut may: Vec<Range<u32>> = Vec::new();
        for range in &rows {
            for page in range.start / ROWS..range.end.div_ceil(ROWS) {
                if self.may_have(page, &asked)? {
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

    fn may_have(&self, page: u32, asked: &[Asked]) -> io::Result<bool> {
        for Asked { of_words, any } in asked {
            let mut may = false;
            for all in any {
                may = may || self.has(page, *of_words, all)?;
            }
            if !may {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the rows of a page may have all of these.
    fn has(&self, page: u32, of_words: bool, all: &[u64]) -> io::Result<bool> {
        let (pages, salt) = match of_words {
            true => (&self.words, WORDS | u64::from(page)),
            false => (&self.pages, u64::from(page)),
        };
        let place = pages.get(page as usize).ok_or_else(|| bad("a row beyond the terms"))?;
        let (at, blocks) = (place.0, place.1 as usize);
        if blocks == 0 {
            return Ok(true);
        }
        for hash in all {
            let mut block = [0; bloom::BLOCK];
            let offset = bloom::block_of(*hash, salt, blocks) * bloom::BLOCK;
            self.file.read_exact_at(&mut block, at + offset as u64)?;
            if !bloom::has(&block, *hash, salt) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
