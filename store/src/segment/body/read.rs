//! Reading `body.bin`: footer once, then single blocks of blooms and single pages.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use super::bloom::BLOCK;
use super::format::{Footer, Kind, MAGIC, Page, Run, VERSION, VERSION_1};
use crate::rows::Texts;
use crate::segment::tail::Tail;
use crate::template::{BLOCK_TEXT, Bits, Block, BlockHead, Location, MAX_ROWS, Records};

/// Gives the records' times of a range of rows: of some of them, counted from its start, or of all.
pub(crate) type Times<'a> = &'a dyn Fn(Range<u32>, Option<&[u32]>) -> io::Result<Vec<i64>>;

/// What a reader of bodies may have already, and where it learns the rest.
#[derive(Clone, Copy)]
pub(crate) struct Access<'a> {
    /// Plain pages that were unpacked before.
    pub(crate) kept: &'a dyn Fn(usize) -> Option<Arc<(u32, Texts)>>,
    /// Heads of blocks.
    pub(crate) head: &'a dyn Fn(usize) -> io::Result<Arc<BlockHead>>,
    pub(crate) times: Times<'a>,
}

/// An open body file. What it cannot read it names; it never answers from damaged bytes.
#[derive(Debug)]
pub(crate) struct BodyFile {
    pub(super) file: File,
    pub(super) footer: Footer,
}

/// A page as it lies in the file, whose checksum was right.
#[derive(Debug)]
pub(crate) struct PackedPage {
    pub(super) page: Page,
    pub(super) packed: Vec<u8>,
    /// Its long tokens and its bloom.
    pub(super) blooms: Vec<u8>,
}

impl BodyFile {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let tail = Tail::<3>::read(&file, MAGIC)?;
        let ([footer_len, footer_crc, blooms_crc], version) = (tail.numbers, tail.version);
        if version != VERSION && version != VERSION_1 {
            return Err(bad("written by a newer release"));
        }
        let (footer, footer_at) = tail.footer(&file, footer_len as usize, footer_crc)?;
        let footer = Footer::decode(&footer, footer_at, version).map_err(bad)?;
        // a damaged bloom would hide lines: it is checked before it is believed
        if crc_of(&file, footer.blooms)? != blooms_crc {
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

    fn location(&self, at: usize) -> io::Result<Location> {
        let page = self.footer.pages.get(at).filter(|page| page.kind == Kind::Block);
        let page = page.ok_or_else(|| bad("no such block"))?;
        Ok(Location {
            at: page.offset,
            bytes: page.bytes as usize,
            head_bytes: page.lens_bytes as usize,
            head_unpacked: page.unpacked as usize,
            head_crc: page.crc,
        })
    }

    /// The head of a page that is a block.
    pub(crate) fn block_head(&self, at: usize) -> io::Result<BlockHead> {
        let head = BlockHead::read(&self.file, self.location(at)?)?;
        let rows = self.footer.pages.get(at).map(|page| page.rows as usize);
        if Some(head.rows()) == rows { Ok(head) } else { Err(bad("a block of other rows")) }
    }

    /// A page that is a block, by its head; `records` gives the times of its rows.
    pub(crate) fn block<'a>(
        &'a self,
        at: usize,
        head: Arc<BlockHead>,
        records: Records<'a>,
    ) -> io::Result<Block<'a>> {
        Block::open(&self.file, self.location(at)?, head, records)
    }

    /// Whether a page is so large that making it larger gains nothing.
    pub(crate) fn is_full(&self, at: usize) -> bool {
        self.footer.pages.get(at).is_some_and(|page| {
            page.kind == Kind::Block
                && (page.text as usize >= BLOCK_TEXT / 3 || page.rows as usize >= MAX_ROWS / 2)
        })
    }

    /// The bodies of any page, and its rows; `times` gives the records' times of a range of rows.
    pub(crate) fn texts(&self, at: usize, times: Times<'_>) -> io::Result<(Range<u32>, Texts)> {
        let (range, is_block) = self.page_rows(at)?;
        let texts = match is_block {
            true => {
                let head = Arc::new(self.block_head(at)?);
                self.block(at, head, &|rows| times(range.clone(), rows))?.bodies(None)?
            }
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
            self.block(at, Arc::new(self.block_head(at)?), &|_| Ok(Vec::new()))?.check()?;
        }
        let mut blooms = vec![0; page.long_bytes as usize + page.blocks as usize * BLOCK];
        self.file.read_exact_at(&mut blooms, page.bloom_offset)?;
        Ok(PackedPage { page, packed, blooms })
    }

    /// Bodies of these rows, which ascend; `None` if they have more than `room` bytes.
    pub(crate) fn read(&self, rows: &[u32], access: Access<'_>, room: usize) -> io::Result<Option<Texts>> {
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
                let records = |rows: Option<&[u32]>| (access.times)(range.clone(), rows);
                let block = self.block(at, (access.head)(at)?, &records)?;
                let mut wanted = Bits::new(block.rows());
                within.for_each(|row| wanted.set(row));
                texts.append(&block.bodies(Some(&wanted))?);
            } else {
                let page = match (access.kept)(at) {
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

pub(super) fn bad(detail: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, detail)
}
