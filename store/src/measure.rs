//! What `cargo xtask bench logs` calls: the encodings of log bodies alone, without a store around them.
//!
//! Hidden: no program uses this.

use std::io;
use std::sync::Arc;

use crate::rows::Texts;
use crate::search::{LogRequest, Matcher};
use crate::template::{Block, BlockHead, Encoded, Encoder, Location, chosen};

/// Text of a plain page, as in `body.bin`.
const PAGE: usize = 512 << 10;

/// Bodies of one stream with their records' times.
#[derive(Debug, Default)]
pub struct Bodies {
    texts: Texts,
    times: Vec<i64>,
}

impl Bodies {
    /// Adds a body.
    pub fn push(&mut self, body: &[u8], ts: i64) {
        self.texts.push(body);
        self.times.push(ts);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Their text, bytes.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.texts.all().len()
    }

    /// Whether no further body of this size goes into a block.
    #[must_use]
    pub fn is_full(&self, next: usize) -> bool {
        let text = self.text_bytes() + next;
        !self.is_empty() && (text > crate::template::BLOCK_TEXT || self.len() == crate::template::MAX_ROWS)
    }

    /// Size as plain pages (zstd 1), bytes.
    ///
    /// # Errors
    /// If zstd fails.
    pub fn plain_bytes(&self) -> io::Result<usize> {
        let mut compressor = zstd::bulk::Compressor::new(1)?;
        let mut size = self.len();
        for page in self.texts.all().chunks(PAGE) {
            size += compressor.compress(page)?.len();
        }
        Ok(size)
    }

    /// Size as one zstd 1 frame, bytes.
    ///
    /// # Errors
    /// If zstd fails.
    pub fn zstd_bytes(&self) -> io::Result<usize> {
        Ok(zstd::bulk::compress(self.texts.all(), 1)?.len() + self.len())
    }
}

/// Encodes blocks of templates.
#[derive(Debug)]
pub struct Coder(Encoder);

/// One block.
#[derive(Debug)]
pub struct Coded {
    encoded: Encoded,
    /// Tokens for its bloom.
    pub tokens: usize,
}

impl Coder {
    /// A coder with its buffers.
    ///
    /// # Errors
    /// If zstd has no memory.
    pub fn new() -> io::Result<Self> {
        Encoder::new().map(Self)
    }

    /// A block, if the bodies have templates.
    ///
    /// # Errors
    /// If zstd fails.
    pub fn encode(&mut self, bodies: &Bodies) -> io::Result<Option<Coded>> {
        let encoded = self.0.encode(&bodies.texts, &bodies.times)?;
        let tokens = self.0.take_tokens();
        let count = tokens.count();
        self.0.give_tokens(tokens);
        Ok(encoded.map(|encoded| Coded { encoded, tokens: count }))
    }
}

impl Coded {
    /// All of it, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.encoded.bytes.len()
    }

    /// Its head: templates, dictionaries and what the columns are, bytes.
    #[must_use]
    pub fn head_bytes(&self) -> usize {
        self.encoded.head_bytes
    }

    /// How many templates it has.
    #[must_use]
    pub fn templates(&self) -> usize {
        self.encoded.templates
    }

    /// Whether every body comes back.
    ///
    /// # Errors
    /// If the block cannot be read.
    pub fn is_exact(&self, bodies: &Bodies) -> io::Result<bool> {
        self.with(bodies, |block| {
            let back = block.bodies(None)?;
            Ok(back.len() == bodies.len() && back.all() == bodies.texts.all())
        })
    }

    /// How many bodies match.
    ///
    /// # Errors
    /// If the request is not understood or the block cannot be read.
    pub fn count(&self, bodies: &Bodies, request: &LogRequest) -> io::Result<usize> {
        let matcher = Matcher::new(request).map_err(io::Error::other)?;
        self.with(bodies, |block| {
            let mut found = Vec::new();
            matcher.matching_block(block, std::iter::once(0..bodies.len()), &mut found)?;
            Ok(found.len())
        })
    }

    fn with<T>(&self, bodies: &Bodies, read: impl FnOnce(&Block<'_>) -> io::Result<T>) -> io::Result<T> {
        let Encoded { bytes, head_bytes, head_unpacked, .. } = &self.encoded;
        let location = Location {
            at: 0,
            bytes: bytes.len(),
            head_bytes: *head_bytes,
            head_unpacked: *head_unpacked,
            head_crc: crc32c::crc32c(&bytes[..*head_bytes]),
        };
        let records = |rows: Option<&[u32]>| Ok(chosen(&bodies.times, rows));
        let head = Arc::new(BlockHead::read(bytes, location)?);
        read(&Block::open(bytes, location, head, &records)?)
    }
}
