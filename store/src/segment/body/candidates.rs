//! Which pages may hold what is looked for, by their blooms: in memory, or read from the file a block at a time.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use memchr::memmem;

use super::bloom::{self, BLOCK};
use super::format::{Kind, LONG_TOKEN, Page};
use super::read::{BodyFile, bad};
use super::tokens::mask;
use crate::search::Required;

/// Tokens to look for, hashed once.
#[derive(Debug)]
pub(crate) struct Candidates<'a> {
    whole: Vec<Token<'a>>,
    part: Vec<Token<'a>>,
}

/// A token and its hashes: as it is, and with its digits masked if it has any.
#[derive(Debug)]
struct Token<'a> {
    text: &'a [u8],
    hash: u64,
    masked: Option<u64>,
}

impl<'a> Token<'a> {
    fn new(text: &'a [u8]) -> Self {
        let masked = text.iter().any(u8::is_ascii_digit).then(|| {
            let mut masked = Vec::new();
            mask(text, &mut masked);
            bloom::hash(&masked).max(1)
        });
        Self { text, hash: bloom::hash(text).max(1), masked }
    }
}

impl<'a> Candidates<'a> {
    pub(crate) fn new(required: &'a Required) -> Self {
        let all = |tokens: &'a [Vec<u8>]| tokens.iter().map(|token| Token::new(token)).collect();
        Self { whole: all(&required.whole), part: all(&required.part) }
    }
}

impl BodyFile {
    /// Pages with rows in `rows` that may hold what is required, as row ranges.
    pub(crate) fn candidates(
        &self,
        rows: &[Range<u32>],
        wanted: &Candidates<'_>,
        blooms: Option<&[u8]>,
    ) -> io::Result<Vec<(usize, Range<u32>)>> {
        let blooms = Blooms { file: &self.file, start: self.footer.blooms.0, held: blooms };
        let mut pages = Vec::new();
        for range in rows {
            let first = self.footer.pages.partition_point(|page| page.first_row + page.rows <= range.start);
            for (at, page) in self.footer.pages.iter().enumerate().skip(first) {
                if page.first_row >= range.end {
                    break;
                }
                if blooms.may_hold(page, wanted)? {
                    let start = page.first_row.max(range.start);
                    pages.push((at, start..(page.first_row + page.rows).min(range.end)));
                }
            }
        }
        Ok(pages)
    }

    /// Every page with rows in `rows`, as row ranges.
    pub(crate) fn pages_of(&self, rows: &[Range<u32>]) -> io::Result<Vec<(usize, Range<u32>)>> {
        self.candidates(rows, &Candidates { whole: Vec::new(), part: Vec::new() }, None)
    }
}

/// The blooms of a file, in memory or not.
struct Blooms<'a> {
    file: &'a File,
    start: u64,
    held: Option<&'a [u8]>,
}

impl Blooms<'_> {
    fn may_hold(&self, page: &Page, wanted: &Candidates<'_>) -> io::Result<bool> {
        for token in &wanted.whole {
            if !self.has(page, token)? {
                return Ok(false);
            }
        }
        for token in &wanted.part {
            if !self.may_hold_part(page, token)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a token of the page may be `token` or contain it.
    fn may_hold_part(&self, page: &Page, wanted: &Token<'_>) -> io::Result<bool> {
        let (token, longest) = (wanted.text, page.longest as usize);
        if token.len() > longest {
            return Ok(false);
        }
        if token.len() == longest {
            return self.has(page, wanted);
        }
        if token.len() < LONG_TOKEN || !page.long_complete {
            return Ok(true);
        }
        if self.has(page, wanted)? {
            return Ok(true);
        }
        // whatever contains it is longer than it, so it is in the list of long tokens
        let mut long = vec![0; page.long_bytes as usize];
        self.read(&mut long, page.bloom_offset)?;
        Ok(memmem::find(&long, token).is_some())
    }

    /// Whether the page may have the token. The numbers of a block are in its bloom only as such.
    fn has(&self, page: &Page, token: &Token<'_>) -> io::Result<bool> {
        let masked = if page.kind == Kind::Block { token.masked } else { None };
        Ok(self.in_bloom(page, token.hash)?
            || masked.map_or(Ok(false), |masked| self.in_bloom(page, masked))?)
    }

    fn in_bloom(&self, page: &Page, hash: u64) -> io::Result<bool> {
        if page.blocks == 0 {
            return Ok(true);
        }
        let block = bloom::block_of(hash, page.salt, page.blocks as usize);
        let at = page.bloom_offset + u64::from(page.long_bytes) + (block * BLOCK) as u64;
        let mut bytes = [0; BLOCK];
        self.read(&mut bytes, at)?;
        Ok(bloom::has(&bytes, hash, page.salt))
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let Some(held) = self.held else { return self.file.read_exact_at(bytes, at) };
        let start = at.checked_sub(self.start).and_then(|start| usize::try_from(start).ok());
        let found = start.and_then(|start| held.get(start..start + bytes.len()));
        bytes.copy_from_slice(found.ok_or_else(|| bad("bloom beyond the blooms"))?);
        Ok(())
    }
}
