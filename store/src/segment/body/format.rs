//! The layout of `body.bin`: magic, pages, blooms, footer, tail. Little endian; see `format.md`.

/// What the file starts and ends with.
pub(super) const MAGIC: &[u8; 8] = b"WAKEBODY";
pub(super) const VERSION: u32 = 2;
/// Before blocks of templates: pages have no kind, all are plain.
pub(super) const VERSION_1: u32 = 1;
/// Text of a page, unless one line is longer.
pub(super) const PAGE_TEXT: usize = 512 << 10;
/// The most text that a page can claim: a page of short lines, then one of the longest.
pub(super) const MAX_UNPACKED: usize = 8 << 20;
/// Tokens longer than this are kept as text too, so that a long part of a longer token can be ruled out.
pub(super) const LONG_TOKEN: usize = 32;
/// Encoding of a run that is plain pages.
const PLAIN: u32 = 0;
/// Encoding of a run with blocks of templates, and plain pages where these are smaller.
const TEMPLATES: u32 = 1;

/// The bodies of one stream, which lie together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) namespace: String,
    pub(crate) workload: String,
    pub(crate) first_row: u32,
    pub(crate) rows: u32,
    pub(super) first_page: u32,
    pub(crate) pages: u32,
}

/// How a page holds its bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// A zstd frame of the rows' lengths (varints), then their bytes.
    #[default]
    Plain,
    /// A block of templates and columns; `unpacked` is the size of its head, `lens_bytes` that of the packed head, whose
    /// checksum is `crc`.
    Block,
}

/// One page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) kind: Kind,
    pub(super) offset: u64,
    pub(super) bytes: u32,
    pub(super) crc: u32,
    pub(super) unpacked: u32,
    pub(super) lens_bytes: u32,
    pub(super) first_row: u32,
    pub(super) rows: u32,
    pub(super) salt: u64,
    /// Where the page's long tokens start; its bloom follows them.
    pub(super) bloom_offset: u64,
    pub(super) long_bytes: u32,
    /// Blocks of the bloom; 0: none, the page is always a candidate.
    pub(super) blocks: u32,
    /// Length of the longest token.
    pub(super) longest: u32,
    /// Whether the long tokens are all there.
    pub(super) long_complete: bool,
    /// Text of the bodies, bytes.
    pub(super) text: u32,
}

/// What the file knows about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) runs: Vec<Run>,
    pub(super) pages: Vec<Page>,
    /// Where the blooms start and how long they are.
    pub(super) blooms: (u64, u64),
}

impl Footer {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
        out.extend_from_slice(&self.blooms.0.to_le_bytes());
        out.extend_from_slice(&self.blooms.1.to_le_bytes());
        out.extend_from_slice(&count(self.runs.len()));
        for run in &self.runs {
            let Run { namespace, workload, first_row, rows, first_page, pages } = run;
            for text in [namespace, workload] {
                out.extend_from_slice(&count(text.len()));
                out.extend_from_slice(text.as_bytes());
            }
            let own = self.pages.iter().skip(*first_page as usize).take(*pages as usize);
            let encoding = if own.clone().any(|page| page.kind == Kind::Block) { TEMPLATES } else { PLAIN };
            for number in [encoding, *first_row, *rows, *first_page, *pages] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        out.extend_from_slice(&count(self.pages.len()));
        for page in &self.pages {
            for number in [page.offset, page.salt, page.bloom_offset] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            let numbers = [
                page.bytes,
                page.crc,
                page.unpacked,
                page.lens_bytes,
                page.first_row,
                page.rows,
                page.long_bytes,
                page.blocks,
                page.longest,
                u32::from(page.long_complete),
                u32::from(page.kind == Kind::Block),
                page.text,
            ];
            numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        }
        out
    }

    /// Reads a footer of this version whose checksum was right, of a file with `data_end` bytes before it.
    pub(super) fn decode(bytes: &[u8], data_end: u64, version: u32) -> Result<Self, &'static str> {
        let mut input = Input(bytes);
        let mut footer = Self { blooms: (input.long()?, input.long()?), ..Self::default() };
        if footer.blooms.0.checked_add(footer.blooms.1).is_none_or(|end| end > data_end) {
            return Err("blooms beyond the file");
        }
        for _ in 0..input.int()? {
            let namespace = input.text()?;
            let workload = input.text()?;
            if input.int()? > if version == VERSION_1 { PLAIN } else { TEMPLATES } {
                return Err("unknown encoding of a run");
            }
            let (first_row, rows) = (input.int()?, input.int()?);
            footer.runs.push(Run {
                namespace,
                workload,
                first_row,
                rows,
                first_page: input.int()?,
                pages: input.int()?,
            });
        }
        for _ in 0..input.int()? {
            let (offset, salt, bloom_offset) = (input.long()?, input.long()?, input.long()?);
            let mut page = Page {
                offset,
                salt,
                bloom_offset,
                bytes: input.int()?,
                crc: input.int()?,
                unpacked: input.int()?,
                lens_bytes: input.int()?,
                first_row: input.int()?,
                rows: input.int()?,
                long_bytes: input.int()?,
                blocks: input.int()?,
                longest: input.int()?,
                long_complete: input.int()? != 0,
                kind: match if version == VERSION_1 { 0 } else { input.int()? } {
                    0 => Kind::Plain,
                    1 => Kind::Block,
                    _ => return Err("unknown kind of a page"),
                },
                text: 0,
            };
            page.text = match version {
                VERSION_1 => page.unpacked.saturating_sub(page.lens_bytes),
                _ => input.int()?,
            };
            footer.pages.push(page);
        }
        footer.check()?;
        Ok(footer)
    }

    /// Rows follow each other without gaps, and pages and blooms lie where they may.
    fn check(&self) -> Result<(), &'static str> {
        let blooms_end = self.blooms.0.saturating_add(self.blooms.1);
        let mut next_row = 0_u32;
        for page in &self.pages {
            if page.first_row != next_row {
                return Err("pages with a gap between rows");
            }
            next_row = next_row.checked_add(page.rows).ok_or("too many rows")?;
            if page.offset.checked_add(u64::from(page.bytes)).is_none_or(|end| end > self.blooms.0) {
                return Err("page beyond the pages");
            }
            let bloom = u64::from(page.long_bytes) + u64::from(page.blocks) * super::bloom::BLOCK as u64;
            if page.bloom_offset.checked_add(bloom).is_none_or(|end| end > blooms_end) {
                return Err("bloom beyond the blooms");
            }
            let impossible = match page.kind {
                Kind::Plain => page.unpacked as usize > MAX_UNPACKED || page.lens_bytes > page.unpacked,
                Kind::Block => page.lens_bytes > page.bytes,
            };
            if impossible {
                return Err("impossible size of a page");
            }
        }
        let (mut row, mut page) = (0_u32, 0_u32);
        for run in &self.runs {
            if run.first_row != row || run.first_page != page {
                return Err("runs with a gap");
            }
            row = row.checked_add(run.rows).ok_or("too many rows")?;
            page = page.checked_add(run.pages).ok_or("too many pages")?;
        }
        if row != next_row || page as usize != self.pages.len() {
            return Err("runs and pages differ");
        }
        Ok(())
    }
}

/// Reads numbers and texts from the front.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn int(&mut self) -> Result<u32, &'static str> {
        let (number, rest) = self.0.split_first_chunk().ok_or("short footer")?;
        self.0 = rest;
        Ok(u32::from_le_bytes(*number))
    }

    fn long(&mut self) -> Result<u64, &'static str> {
        let (number, rest) = self.0.split_first_chunk().ok_or("short footer")?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*number))
    }

    fn text(&mut self) -> Result<String, &'static str> {
        let len = self.int()? as usize;
        let (text, rest) = self.0.split_at_checked(len).ok_or("short footer")?;
        self.0 = rest;
        str::from_utf8(text).map(str::to_owned).map_err(|_error| "a name that is not UTF-8")
    }
}
