//! Many byte strings in one run of bytes: searched as one haystack, read one by one.

use std::borrow::Cow;
use std::ops::Range;

/// A text as people see it, with U+FFFD for what is not UTF-8. Nearly all texts are, and to check that is five times as
/// fast as to look for what is not.
pub(crate) fn shown(text: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(text).map_or_else(|_| String::from_utf8_lossy(text), Cow::Borrowed)
}

/// Byte strings, one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl Texts {
    pub(crate) fn with_capacity(rows: usize, bytes: usize) -> Self {
        Self { ends: Vec::with_capacity(rows), bytes: Vec::with_capacity(bytes) }
    }

    /// Texts whose lengths were stored apart from their bytes. `None` if the two do not agree.
    pub(crate) fn from_parts(ends: Vec<u32>, bytes: Vec<u8>) -> Option<Self> {
        let sorted = ends.windows(2).all(|pair| pair[0] <= pair[1]);
        let whole = ends.last().map_or(0, |end| *end as usize) == bytes.len();
        (sorted && whole).then_some(Self { ends, bytes })
    }

    pub(crate) fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        // a chunk holds at most a few batches of 4 MiB, a page at most one line more than 512 KiB
        self.ends.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
    }

    pub(crate) fn append(&mut self, other: &Self) {
        let base = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&other.bytes);
        self.ends.extend(other.ends.iter().map(|end| end + base));
    }

    /// Gives back the room that is not needed.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.ends.shrink_to_fit();
        self.bytes.shrink_to_fit();
    }

    /// Forgets them, and keeps the room.
    pub(crate) fn clear(&mut self) {
        self.ends.clear();
        self.bytes.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// All of them, as one haystack.
    pub(crate) fn all(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn get(&self, row: usize) -> &[u8] {
        &self.bytes[self.range(row)]
    }

    /// Where a row's bytes lie in [`Self::all`].
    pub(crate) fn range(&self, row: usize) -> Range<usize> {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        start..self.ends[row] as usize
    }

    /// The row that holds the byte at `position`.
    pub(crate) fn row_at(&self, position: usize) -> usize {
        self.ends.partition_point(|end| *end as usize <= position)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|row| self.get(row))
    }

    /// Memory, bytes.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * 4
    }
}
