//! Writing `body.bin`: one pass over the bodies, a block at a time, in bounded memory.
//!
//! A block becomes templates and columns, or plain pages where these are smaller. A stream that does not template is
//! asked again ever more rarely. All writers of a store share one [`BlockEncoder`]: what it takes to encode a block is
//! several times the block, and a seal and a merge need not both have it.

mod copy;
mod encoder;

use std::io::{self, Write};

use super::bloom;
use super::format::{Footer, Kind, MAGIC, PAGE_TEXT, Page, Run, VERSION};
use super::tokens::Tokens;
use crate::rows::Texts;
use crate::segment::{PatternCounts, Version};
use crate::template::{BLOCK_TEXT, Encoded, Encoder, MAX_ROWS};

pub(crate) use encoder::BlockEncoder;

/// zstd level: higher ones save two or three points for four times the CPU.
const LEVEL: i32 = 1;
/// Blooms may take this share of the text, percent; what does not fit is always a candidate.
const BLOOM_PERCENT: usize = 3;
/// The most blocks of a stream that are written plain without asking again.
const MAX_PATIENCE: u32 = 32;
/// Text of which the size of plain pages is guessed, bytes, and of how many pieces.
const SAMPLE: usize = 96 << 10;
const SAMPLES: usize = 4;
/// A block of templates below this share of the guess needs no closer look, percent.
const CLEARLY: usize = 80;

/// Writes bodies in row order.
pub(crate) struct BodyWriter<'a, W> {
    out: W,
    offset: u64,
    footer: Footer,
    lens: Vec<u8>,
    text: Vec<u8>,
    rows: u32,
    next_row: u32,
    blooms: Vec<u8>,
    tokens: Tokens,
    /// Bodies of the block that is being gathered, and their records' times.
    block: Texts,
    times: Vec<i64>,
    /// Of the workload; only where patterns are wanted.
    versions: Vec<Version>,
    encoder: &'a BlockEncoder,
    /// Blocks of this stream to write plain, and how many of its blocks did not template.
    skip: u32,
    lost: u32,
    compressor: zstd::bulk::Compressor<'static>,
    unpacked: Vec<u8>,
    packed: Vec<u8>,
    /// All text so far, bytes.
    text_bytes: u64,
    /// What kinds of lines there are, if that is wanted.
    patterns: Option<PatternCounts>,
}

/// A body file that is whole.
pub(crate) struct Written<W> {
    pub(crate) out: W,
    pub(crate) runs: Vec<Run>,
    /// All text, bytes.
    pub(crate) text_bytes: u64,
    pub(crate) patterns: Option<PatternCounts>,
}

impl<'a, W: Write> BodyWriter<'a, W> {
    /// `patterns` takes what kinds of lines there are; [`Self::finish`] gives it back.
    pub(crate) fn new(
        mut out: W,
        encoder: &'a BlockEncoder,
        patterns: Option<PatternCounts>,
    ) -> io::Result<Self> {
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
            tokens: Tokens::default(),
            block: Texts::default(),
            times: Vec::new(),
            versions: Vec::new(),
            encoder,
            skip: 0,
            lost: 0,
            compressor: zstd::bulk::Compressor::new(LEVEL)?,
            unpacked: Vec::new(),
            packed: Vec::new(),
            text_bytes: 0,
            patterns,
        })
    }

    /// The bodies that follow are of this stream.
    pub(crate) fn start_run(&mut self, namespace: &str, workload: &str) -> io::Result<()> {
        self.end_block()?;
        (self.skip, self.lost) = (0, 0);
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

    /// The next row's body, and its record's time and version; the latter is only asked for patterns.
    pub(crate) fn push(&mut self, body: &[u8], ts: i64, version: Version) -> io::Result<()> {
        let full = self.block.all().len() + body.len() > BLOCK_TEXT || self.times.len() == MAX_ROWS;
        if full && !self.times.is_empty() {
            self.end_block()?;
        }
        self.text_bytes += body.len() as u64;
        self.block.push(body);
        self.times.push(ts);
        if self.patterns.is_some() {
            self.versions.push(version);
        }
        Ok(())
    }

    /// Writes the block that was gathered, in the smaller way.
    fn end_block(&mut self) -> io::Result<()> {
        if self.times.is_empty() {
            return Ok(());
        }
        let (block, times) = (std::mem::take(&mut self.block), std::mem::take(&mut self.times));
        let shared = self.encoder;
        let mut alone = shared.alone();
        let encoder = alone.encoder()?;
        let encoded = match self.skip.checked_sub(1) {
            Some(left) => {
                self.skip = left;
                None
            }
            None => self.encode(encoder, &block, &times)?,
        };
        if let (Some(patterns), Some(run)) = (&mut self.patterns, self.footer.runs.last()) {
            let own;
            let found = match &encoded {
                Some(encoded) => &encoded.patterns,
                None => {
                    own = crate::template::patterns(&block);
                    &own
                }
            };
            let stream = (run.namespace.as_str(), run.workload.as_str());
            patterns.add_block(stream, &found.templates, &found.of, (&times, &self.versions), &block);
        }
        match encoded {
            Some(encoded) => self.write_block(encoder, &encoded, &block)?,
            None => {
                block.iter().try_for_each(|body| self.push_plain(body))?;
                self.end_page()?;
            }
        }
        (self.block, self.times) = (block, times);
        self.block.clear();
        self.times.clear();
        self.versions.clear();
        Ok(())
    }

    /// The block as templates, if that is smaller than plain pages.
    fn encode(&mut self, encoder: &mut Encoder, block: &Texts, times: &[i64]) -> io::Result<Option<Encoded>> {
        if let Some(encoded) = encoder.encode(block, times)? {
            let guess = self.guess_plain(block)? + block.len();
            if encoded.bytes.len() * 100 < guess * CLEARLY || encoded.bytes.len() <= self.size_plain(block)? {
                self.lost = 0;
                return Ok(Some(encoded));
            }
        }
        self.skip = (1_u32 << self.lost.min(8)).min(MAX_PATIENCE);
        self.lost += 1;
        Ok(None)
    }

    /// What plain pages would take, from samples.
    fn guess_plain(&mut self, block: &Texts) -> io::Result<usize> {
        let all = block.all();
        if all.len() <= SAMPLE * SAMPLES {
            return self.size_plain(block);
        }
        let mut packed = 0;
        for sample in 0..SAMPLES {
            let start = (all.len() - SAMPLE) / (SAMPLES - 1) * sample;
            packed += self.compressor.compress(&all[start..start + SAMPLE])?.len();
        }
        Ok(packed * (all.len() / 1_024) / (SAMPLE * SAMPLES / 1_024))
    }

    /// What plain pages take.
    fn size_plain(&mut self, block: &Texts) -> io::Result<usize> {
        let (mut size, mut row) = (0, 0);
        while row < block.len() {
            let start = block.range(row).start;
            self.unpacked.clear();
            let first = row;
            while row < block.len() && (row == first || block.range(row).end - start <= PAGE_TEXT) {
                push_varint(&mut self.unpacked, block.range(row).len());
                row += 1;
            }
            self.unpacked.extend_from_slice(&block.all()[start..block.range(row - 1).end]);
            size += self.compressor.compress(&self.unpacked)?.len();
        }
        Ok(size)
    }

    fn write_block(&mut self, encoder: &mut Encoder, encoded: &Encoded, block: &Texts) -> io::Result<()> {
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let Encoded { bytes, head_bytes, head_unpacked, .. } = encoded;
        self.out.write_all(bytes)?;
        let page = Page {
            kind: Kind::Block,
            bytes: small(bytes.len()),
            crc: crc32c::crc32c(&bytes[..*head_bytes]),
            unpacked: small(*head_unpacked),
            lens_bytes: small(*head_bytes),
            rows: small(block.len()),
            ..Page::default()
        };
        let tokens = encoder.take_tokens();
        self.add_page(page, &tokens, block.all().len());
        encoder.give_tokens(tokens);
        Ok(())
    }

    /// The next body of plain pages.
    fn push_plain(&mut self, body: &[u8]) -> io::Result<()> {
        if !self.text.is_empty() && self.text.len() + body.len() > PAGE_TEXT {
            self.end_page()?;
        }
        push_varint(&mut self.lens, body.len());
        self.text.extend_from_slice(body);
        self.rows += 1;
        self.tokens.add_text(body);
        Ok(())
    }

    /// Writes blooms, footer and tail.
    pub(crate) fn finish(mut self) -> io::Result<Written<W>> {
        self.end_block()?;
        self.encoder.release();
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
        Ok(Written {
            out: self.out,
            runs: self.footer.runs,
            text_bytes: self.text_bytes,
            patterns: self.patterns,
        })
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
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let page = Page {
            kind: Kind::Plain,
            bytes: small(self.packed.len()),
            crc: crc32c::crc32c(&self.packed),
            unpacked: small(self.unpacked.len()),
            lens_bytes: small(self.lens.len()),
            rows: self.rows,
            ..Page::default()
        };
        let mut tokens = std::mem::take(&mut self.tokens);
        self.add_page(page, &tokens, self.text.len());
        tokens.clear();
        self.tokens = tokens;
        self.rows = 0;
        self.lens.clear();
        self.text.clear();
        Ok(())
    }

    /// Adds a page that was written, with the bloom of its tokens.
    fn add_page(&mut self, page: Page, tokens: &Tokens, text: usize) {
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let salt = xxhash_rust::xxh3::xxh3_64(&self.offset.to_le_bytes());
        let bloom_offset = self.blooms.len() as u64;
        let long = if tokens.long_complete { &tokens.long[..] } else { &[] };
        self.blooms.extend_from_slice(long);
        let cap = (text * BLOOM_PERCENT / 100).saturating_sub(long.len());
        let blocks = bloom::blocks(tokens.set.len, cap);
        if blocks > 0 {
            bloom::build(tokens.set.iter(), salt, blocks, &mut self.blooms);
        }
        self.footer.pages.push(Page {
            offset: self.offset,
            first_row: self.next_row,
            salt,
            bloom_offset,
            long_bytes: small(long.len()),
            blocks: small(blocks),
            longest: small(tokens.longest),
            long_complete: tokens.long_complete,
            text: small(text),
            ..page
        });
        if let Some(run) = self.footer.runs.last_mut() {
            run.rows += page.rows;
            run.pages += 1;
        }
        self.offset += u64::from(page.bytes);
        self.next_row += page.rows;
    }
}

fn push_varint(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}
