//! Reading `body.bin`: footer once, then single blocks of blooms and single pages.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use memchr::memmem;

use super::bloom::{self, BLOCK};
use super::format::{Footer, Kind, LONG_TOKEN, MAGIC, Page, Run, TAIL, VERSION, VERSION_1};
use super::tokens::mask;
use crate::rows::Texts;
use crate::search::Required;
use crate::template::{BLOCK_TEXT, Bits, Block, Location, MAX_ROWS};

/// An open body file. What it cannot read it names; it never answers from damaged bytes.
#[derive(Debug)]
pub(crate) struct BodyFile {
    file: File,
    footer: Footer,
}

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

/// A page as it lies in the file, whose checksum was right.
#[derive(Debug)]
pub(crate) struct PackedPage {
    pub(super) page: Page,
    pub(super) packed: Vec<u8>,
    /// Its long tokens and its bloom.
    pub(super) blooms: Vec<u8>,
}

impl<'a> Candidates<'a> {
    pub(crate) fn new(required: &'a Required) -> Self {
        let all = |tokens: &'a [Vec<u8>]| tokens.iter().map(|token| Token::new(token)).collect();
        Self { whole: all(&required.whole), part: all(&required.part) }
    }
}

impl BodyFile {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        let tail_at = len.checked_sub(TAIL as u64).ok_or_else(|| bad("short file"))?;
        let mut tail = [0; TAIL];
        file.read_exact_at(&mut tail, tail_at)?;
        let number = |at: usize| u32::from_le_bytes([tail[at], tail[at + 1], tail[at + 2], tail[at + 3]]);
        if &tail[16..] != MAGIC {
            return Err(bad("wrong magic"));
        }
        let version = number(12);
        if version != VERSION && version != VERSION_1 {
            return Err(bad("written by a newer release"));
        }
        let footer_at =
            tail_at.checked_sub(u64::from(number(0))).ok_or_else(|| bad("footer beyond the file"))?;
        let mut footer = vec![0; number(0) as usize];
        file.read_exact_at(&mut footer, footer_at)?;
        if crc32c::crc32c(&footer) != number(4) {
            return Err(bad("wrong checksum of the footer"));
        }
        let footer = Footer::decode(&footer, footer_at, version).map_err(bad)?;
        // a damaged bloom would hide lines: it is checked before it is believed
        if crc_of(&file, footer.blooms)? != number(8) {
            return Err(bad("wrong checksum of the blooms"));
        }
        Ok(Self { file, footer })
    }

    pub(crate) fn runs(&self) -> &[Run] {
        &self.footer.runs
    }

    pub(crate) fn rows(&self) -> u32 {
        self.footer.pages.last().map_or(0, |page| page.first_row + page.rows)
    }

    /// Memory, bytes.
    pub(crate) fn memory(&self) -> usize {
        let names: usize =
            self.footer.runs.iter().map(|run| run.namespace.len() + run.workload.len() + 80).sum();
        names + self.footer.pages.len() * size_of::<Page>() + 256
    }

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

    /// Bytes of all blooms.
    pub(crate) fn bloom_bytes(&self) -> usize {
        usize::try_from(self.footer.blooms.1).unwrap_or(usize::MAX)
    }

    /// All blooms, as they lie in the file.
    pub(crate) fn blooms(&self) -> io::Result<Vec<u8>> {
        let mut blooms = vec![0; self.bloom_bytes()];
        self.file.read_exact_at(&mut blooms, self.footer.blooms.0)?;
        Ok(blooms)
    }

    /// The rows of a page, and whether it is a block of templates.
    pub(crate) fn page_rows(&self, at: usize) -> io::Result<(Range<u32>, bool)> {
        let page = self.footer.pages.get(at).ok_or_else(|| bad("no such page"))?;
        Ok((page.first_row..page.first_row + page.rows, page.kind == Kind::Block))
    }

    /// A page that is a block; `records` gives the times of its rows.
    pub(crate) fn block<'a>(
        &'a self,
        at: usize,
        records: &'a dyn Fn() -> io::Result<Vec<i64>>,
    ) -> io::Result<Block<'a>> {
        let page = self.footer.pages.get(at).filter(|page| page.kind == Kind::Block);
        let page = page.ok_or_else(|| bad("no such block"))?;
        let location = Location {
            at: page.offset,
            bytes: page.bytes as usize,
            head_bytes: page.lens_bytes as usize,
            head_unpacked: page.unpacked as usize,
            head_crc: page.crc,
        };
        let block = Block::open(&self.file, location, records)?;
        if block.rows() == page.rows as usize { Ok(block) } else { Err(bad("a block of other rows")) }
    }

    /// Whether a page is so large that making it larger gains nothing.
    pub(crate) fn is_full(&self, at: usize) -> bool {
        self.footer.pages.get(at).is_some_and(|page| {
            page.kind == Kind::Block
                && (page.text as usize >= BLOCK_TEXT / 3 || page.rows as usize >= MAX_ROWS / 2)
        })
    }

    /// The bodies of any page, and its rows; `times` gives the records' times of a range of rows.
    pub(crate) fn texts(
        &self,
        at: usize,
        times: &dyn Fn(Range<u32>) -> io::Result<Vec<i64>>,
    ) -> io::Result<(Range<u32>, Texts)> {
        let (range, is_block) = self.page_rows(at)?;
        let texts = match is_block {
            true => self.block(at, &|| times(range.clone()))?.bodies(None)?,
            false => self.page(at)?.1,
        };
        Ok((range, texts))
    }

    /// A plain page's bodies, and its first row.
    pub(crate) fn page(&self, at: usize) -> io::Result<(u32, Texts)> {
        let page = self.footer.pages.get(at).filter(|page| page.kind == Kind::Plain);
        let page = page.ok_or_else(|| bad("no such page"))?;
        let mut packed = vec![0; page.bytes as usize];
        self.file.read_exact_at(&mut packed, page.offset)?;
        if crc32c::crc32c(&packed) != page.crc {
            return Err(bad("wrong checksum of a page"));
        }
        let mut unpacked = zstd::bulk::decompress(&packed, page.unpacked as usize)?;
        if unpacked.len() != page.unpacked as usize {
            return Err(bad("wrong size of a page"));
        }
        let ends = ends(&unpacked[..page.lens_bytes as usize], page.rows)
            .ok_or_else(|| bad("wrong lengths in a page"))?;
        unpacked.drain(..page.lens_bytes as usize);
        let texts =
            Texts::from_parts(ends, unpacked).ok_or_else(|| bad("lengths and text of a page differ"))?;
        Ok((page.first_row, texts))
    }

    /// A page without unpacking it.
    pub(crate) fn packed_page(&self, at: usize) -> io::Result<PackedPage> {
        let page = *self.footer.pages.get(at).ok_or_else(|| bad("no such page"))?;
        let mut packed = vec![0; page.bytes as usize];
        self.file.read_exact_at(&mut packed, page.offset)?;
        let summed = if page.kind == Kind::Block { page.lens_bytes } else { page.bytes };
        if packed.get(..summed as usize).map(crc32c::crc32c) != Some(page.crc) {
            return Err(bad("wrong checksum of a page"));
        }
        if page.kind == Kind::Block {
            self.block(at, &|| Ok(Vec::new()))?.check()?;
        }
        let mut blooms = vec![0; page.long_bytes as usize + page.blocks as usize * BLOCK];
        self.file.read_exact_at(&mut blooms, page.bloom_offset)?;
        Ok(PackedPage { page, packed, blooms })
    }

    /// Bodies of these rows, which ascend; `None` if they have more than `room` bytes.
    /// `kept` may have plain pages already; `times` gives the records' times of a range of rows.
    pub(crate) fn read(
        &self,
        rows: &[u32],
        kept: impl Fn(usize) -> Option<Arc<(u32, Texts)>>,
        times: &dyn Fn(Range<u32>) -> io::Result<Vec<i64>>,
        room: usize,
    ) -> io::Result<Option<Texts>> {
        let mut texts = Texts::default();
        let mut rest = rows;
        while let Some(first) = rest.first() {
            if texts.all().len() > room {
                return Ok(None);
            }
            let at = self.footer.pages.partition_point(|page| page.first_row + page.rows <= *first);
            let (range, is_block) = self.page_rows(at)?;
            let here = rest.partition_point(|row| *row < range.end);
            if here == 0 || *first < range.start {
                return Err(bad("rows out of order"));
            }
            let within = rest[..here].iter().map(|row| (row - range.start) as usize);
            if is_block {
                let records = || times(range.clone());
                let block = self.block(at, &records)?;
                let mut wanted = Bits::new(block.rows());
                within.for_each(|row| wanted.set(row));
                texts.append(&block.bodies(Some(&wanted))?);
            } else {
                let page = match kept(at) {
                    Some(page) => page,
                    None => Arc::new(self.page(at)?),
                };
                within.for_each(|row| texts.push(page.1.get(row)));
            }
            rest = &rest[here..];
        }
        if texts.all().len() > room {
            return Ok(None);
        }
        if texts.len() == rows.len() { Ok(Some(texts)) } else { Err(bad("rows out of order")) }
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

fn ends(mut lens: &[u8], rows: u32) -> Option<Vec<u32>> {
    // each length takes a byte, so a wrong number of rows cannot ask for memory that is not there
    let mut ends = Vec::with_capacity((rows as usize).min(lens.len()));
    let mut end = 0_u32;
    for _ in 0..rows {
        let (mut len, mut shift) = (0_u32, 0);
        loop {
            let (byte, rest) = lens.split_first()?;
            lens = rest;
            len |= u32::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
            if shift > 28 {
                return None;
            }
        }
        end = end.checked_add(len)?;
        ends.push(end);
    }
    lens.is_empty().then_some(ends)
}

fn crc_of(file: &File, (mut at, bytes): (u64, u64)) -> io::Result<u32> {
    let end = at + bytes;
    let mut crc = 0;
    let mut buffer = vec![0; 64 << 10];
    while at < end {
        let len = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        file.read_exact_at(&mut buffer[..len], at)?;
        crc = crc32c::crc32c_append(crc, &buffer[..len]);
        at += len as u64;
    }
    Ok(crc)
}

fn bad(detail: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, detail)
}
