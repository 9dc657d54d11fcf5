//! Writing `body.bin`: one pass over the bodies, a page at a time, in bounded memory.

mod copy;

use std::io::{self, Write};

use super::bloom;
use super::format::{Footer, LONG_TOKEN, MAGIC, PAGE_TEXT, Page, Run, VERSION};
use crate::search::{MIN_TOKEN, tokens};

/// zstd level: higher ones save two or three points for four times the CPU.
const LEVEL: i32 = 1;
/// Blooms may take this share of the text, percent; what does not fit is always a candidate.
const BLOOM_PERCENT: usize = 3;
/// Long tokens of a page, bytes.
const MAX_LONG: usize = 4 << 10;

/// Writes bodies in row order.
pub(crate) struct BodyWriter<W> {
    out: W,
    offset: u64,
    footer: Footer,
    lens: Vec<u8>,
    text: Vec<u8>,
    rows: u32,
    next_row: u32,
    blooms: Vec<u8>,
    tokens: TokenSet,
    long: Vec<u8>,
    long_complete: bool,
    longest: usize,
    compressor: zstd::bulk::Compressor<'static>,
    unpacked: Vec<u8>,
    packed: Vec<u8>,
    /// All text so far, bytes.
    pub(crate) text_bytes: u64,
}

impl<W: Write> BodyWriter<W> {
    pub(crate) fn new(mut out: W) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        Ok(Self {
            out,
            offset: MAGIC.len() as u64 + 4,
            footer: Footer::default(),
            lens: Vec::new(),
            text: Vec::with_capacity(PAGE_TEXT + 4_096),
            rows: 0,
            next_row: 0,
            blooms: Vec::new(),
            tokens: TokenSet::default(),
            long: Vec::new(),
            long_complete: true,
            longest: 0,
            compressor: zstd::bulk::Compressor::new(LEVEL)?,
            unpacked: Vec::new(),
            packed: Vec::new(),
            text_bytes: 0,
        })
    }

    /// The bodies that follow are of this stream.
    pub(crate) fn start_run(&mut self, namespace: &str, workload: &str) -> io::Result<()> {
        self.end_page()?;
        self.footer.runs.push(Run {
            namespace: namespace.to_owned(),
            workload: workload.to_owned(),
            first_row: self.next_row,
            rows: 0,
            first_page: u32::try_from(self.footer.pages.len()).unwrap_or(u32::MAX),
            pages: 0,
        });
        Ok(())
    }

    /// The next row's body.
    pub(crate) fn push(&mut self, body: &[u8]) -> io::Result<()> {
        if !self.text.is_empty() && self.text.len() + body.len() > PAGE_TEXT {
            self.end_page()?;
        }
        push_varint(&mut self.lens, body.len());
        self.text.extend_from_slice(body);
        self.text_bytes += body.len() as u64;
        self.rows += 1;
        for (_, token) in tokens(body) {
            if token.len() >= MIN_TOKEN {
                self.longest = self.longest.max(token.len());
                let new = self.tokens.insert(bloom::hash(token));
                if new && token.len() > LONG_TOKEN {
                    if self.long.len() + token.len() < MAX_LONG {
                        self.long.extend_from_slice(token);
                        self.long.push(b'\n');
                    } else {
                        self.long_complete = false;
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes blooms, footer and tail.
    pub(crate) fn finish(mut self) -> io::Result<(W, Vec<Run>)> {
        self.end_page()?;
        self.footer.blooms = (self.offset, self.blooms.len() as u64);
        for page in &mut self.footer.pages {
            page.bloom_offset += self.offset;
        }
        self.out.write_all(&self.blooms)?;
        let footer = self.footer.encode();
        self.out.write_all(&footer)?;
        self.out.write_all(&u32::try_from(footer.len()).unwrap_or(u32::MAX).to_le_bytes())?;
        self.out.write_all(&crc32c::crc32c(&footer).to_le_bytes())?;
        self.out.write_all(&crc32c::crc32c(&self.blooms).to_le_bytes())?;
        self.out.write_all(&VERSION.to_le_bytes())?;
        self.out.write_all(MAGIC)?;
        Ok((self.out, self.footer.runs))
    }

    fn end_page(&mut self) -> io::Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        self.unpacked.clear();
        self.unpacked.extend_from_slice(&self.lens);
        self.unpacked.extend_from_slice(&self.text);
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(self.unpacked.len()));
        self.compressor.compress_to_buffer(&self.unpacked, &mut self.packed)?;
        self.out.write_all(&self.packed)?;
        let salt = xxhash_rust::xxh3::xxh3_64(&self.offset.to_le_bytes());
        let bloom_offset = self.blooms.len() as u64;
        if !self.long_complete {
            self.long.clear();
        }
        self.blooms.extend_from_slice(&self.long);
        let blocks = bloom::blocks(self.tokens.len, self.text.len() * BLOOM_PERCENT / 100);
        if blocks > 0 {
            bloom::build(self.tokens.iter(), salt, blocks, &mut self.blooms);
        }
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        self.footer.pages.push(Page {
            offset: self.offset,
            bytes: small(self.packed.len()),
            crc: crc32c::crc32c(&self.packed),
            unpacked: small(self.unpacked.len()),
            lens_bytes: small(self.lens.len()),
            first_row: self.next_row,
            rows: self.rows,
            salt,
            bloom_offset,
            long_bytes: small(self.long.len()),
            blocks: small(blocks),
            longest: small(self.longest),
            long_complete: self.long_complete,
        });
        if let Some(run) = self.footer.runs.last_mut() {
            run.rows += self.rows;
            run.pages += 1;
        }
        self.offset += self.packed.len() as u64;
        self.next_row += self.rows;
        self.rows = 0;
        self.lens.clear();
        self.text.clear();
        self.tokens.clear();
        self.long.clear();
        (self.long_complete, self.longest) = (true, 0);
        Ok(())
    }
}

fn push_varint(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}

/// A set of hashes, cleared for each page.
struct TokenSet {
    /// 0 is free; the hash 0 stands as 1.
    slots: Vec<u64>,
    len: usize,
}

impl Default for TokenSet {
    fn default() -> Self {
        Self { slots: vec![0; 1 << 15], len: 0 }
    }
}

impl TokenSet {
    /// Whether it was new.
    #[inline]
    fn insert(&mut self, hash: u64) -> bool {
        let hash = hash.max(1);
        let mask = self.slots.len() - 1;
        let mut at = usize::try_from(hash & mask as u64).unwrap_or(0);
        loop {
            match self.slots[at] {
                0 => break,
                known if known == hash => return false,
                _ => at = (at + 1) & mask,
            }
        }
        self.slots[at] = hash;
        self.len += 1;
        if self.len * 2 > self.slots.len() {
            self.grow();
        }
        true
    }

    fn grow(&mut self) {
        let bigger = vec![0; self.slots.len() * 2];
        let before = std::mem::replace(&mut self.slots, bigger);
        self.len = 0;
        for hash in before.into_iter().filter(|hash| *hash != 0) {
            self.insert(hash);
        }
    }

    fn iter(&self) -> impl Iterator<Item = u64> {
        self.slots.iter().copied().filter(|hash| *hash != 0)
    }

    fn clear(&mut self) {
        self.slots.fill(0);
        self.len = 0;
    }
}
