//! HPACK (RFC 7541): header blocks of one direction, with the dynamic table as far as it is known.
//!
//! Of our own, because a connection may be met in its middle and blocks may be missing. The newest entries have the
//! lowest indices, so what was inserted since is known whatever lay below; an index beyond it gives no name or value.
//! Values of headers that nobody reads are not kept, only how long they were: a table holds no cookie and no token.
//! Bounded: a table by the connection's own size, at most 64 KiB as HPACK counts; a string by its block.

use std::collections::VecDeque;
use std::sync::Arc;

use super::fields::{STATIC, Text, is_read};
use super::huffman;

/// What a table may hold, whatever the connection says.
const MAX_TABLE: usize = 64 * 1024;
/// What it holds until the connection says otherwise.
const DEFAULT_TABLE: usize = 4_096;
/// What each entry counts beyond its texts.
const ENTRY: usize = 32;

/// A header; what was not known or not kept is none.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: Option<Text>,
    pub(super) value: Option<Text>,
}

struct Entry {
    field: Field,
    size: usize,
}

/// The table of one direction.
pub(super) struct Table {
    entries: VecDeque<Entry>,
    size: usize,
    max: usize,
    scratch: Vec<u8>,
}

/// The block is no HPACK, or ends too early.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

impl Table {
    pub(super) fn new() -> Self {
        Self { entries: VecDeque::new(), size: 0, max: DEFAULT_TABLE, scratch: Vec::new() }
    }

    /// Entries were lost: those from here on are the newest again.
    pub(super) fn forget(&mut self) {
        self.entries.clear();
        self.size = 0;
    }

    /// Bytes that are kept: an entry has two texts of its own.
    pub(super) fn memory(&self) -> usize {
        self.size + self.entries.capacity() * size_of::<Entry>() + self.scratch.capacity()
    }

    /// Reads a block. What follows an error is unknown, and so is the table.
    pub(super) fn decode(&mut self, block: &[u8], mut each: impl FnMut(&Field)) -> Result<(), Broken> {
        let mut rest = block;
        let read = loop {
            let Some(first) = rest.first() else { break Ok(()) };
            match self.field(*first, &mut rest) {
                Ok(Some(field)) => each(&field),
                Ok(None) => {}
                Err(broken) => break Err(broken),
            }
        };
        if read.is_err() {
            self.forget();
        }
        read
    }

    /// One representation; a change of the table's size is no field.
    fn field(&mut self, first: u8, rest: &mut &[u8]) -> Result<Option<Field>, Broken> {
        if first & 0x80 != 0 {
            let index = integer(rest, 7)?;
            return self.indexed(index).map(Some);
        }
        if first & 0xe0 == 0x20 {
            self.max = integer(rest, 5)?.min(MAX_TABLE);
            self.evict(0);
            return Ok(None);
        }
        let indexing = first & 0x40 != 0;
        let index = integer(rest, if indexing { 6 } else { 4 })?;
        let (name, name_len) = match index {
            0 => {
                self.string(rest)?;
                (Some(Text::Sent(Arc::from(self.scratch.as_slice()))), self.scratch.len())
            }
            index => self.name(index)?,
        };
        self.string(rest)?;
        let kept = name.as_ref().is_some_and(|name| is_read(name));
        let value = kept.then(|| Text::Sent(Arc::from(self.scratch.as_slice())));
        let field = Field { name, value };
        if indexing {
            let size = name_len + self.scratch.len() + ENTRY;
            self.insert(Entry { field: field.clone(), size });
        }
        Ok(Some(field))
    }

    fn indexed(&self, index: usize) -> Result<Field, Broken> {
        match index {
            0 => Err(Broken),
            1..=61 => {
                let (name, value) = STATIC[index - 1];
                Ok(Field { name: Some(Text::Static(name)), value: Some(Text::Static(value)) })
            }
            _ => {
                let known = self.entries.get(index - 62);
                Ok(known.map_or(Field { name: None, value: None }, |entry| entry.field.clone()))
            }
        }
    }

    /// The name at an index, and how long it is; of an unknown one that is a guess, which errs on the short side: an
    /// entry then stays longer than it does at the peer, which harms nothing.
    fn name(&self, index: usize) -> Result<(Option<Text>, usize), Broken> {
        let name = self.indexed(index)?.name;
        let len = name.as_ref().map_or(0, |name| name.len());
        Ok((name, len))
    }

    fn insert(&mut self, entry: Entry) {
        self.evict(entry.size);
        if entry.size <= self.max {
            self.size += entry.size;
            self.entries.push_front(entry);
        }
    }

    /// Makes room.
    fn evict(&mut self, size: usize) {
        while self.size + size > self.max {
            let Some(oldest) = self.entries.pop_back() else { return };
            self.size -= oldest.size;
        }
    }

    /// A string into `scratch`.
    fn string(&mut self, rest: &mut &[u8]) -> Result<(), Broken> {
        let huffman = rest.first().ok_or(Broken)? & 0x80 != 0;
        let len = integer(rest, 7)?;
        let bytes = rest.get(..len).ok_or(Broken)?;
        *rest = &rest[len..];
        self.scratch.clear();
        if !huffman {
            self.scratch.extend_from_slice(bytes);
            return Ok(());
        }
        if huffman::decode(bytes, &mut self.scratch) { Ok(()) } else { Err(Broken) }
    }
}

/// An integer with a prefix of as many bits (section 5.1); at most 2^28.
fn integer(rest: &mut &[u8], bits: u32) -> Result<usize, Broken> {
    let (first, mut behind) = rest.split_first().ok_or(Broken)?;
    let mask = (1_usize << bits) - 1;
    let mut value = usize::from(*first) & mask;
    if value == mask {
        for shift in [0, 7, 14, 21] {
            let (byte, after) = behind.split_first().ok_or(Broken)?;
            behind = after;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                *rest = behind;
                return Ok(value);
            }
        }
        return Err(Broken);
    }
    *rest = behind;
    Ok(value)
}

#[cfg(test)]
mod tests;
