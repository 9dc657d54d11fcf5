//! Parts of a line, joined. The state belongs to a container's stream, not to a file: a line may begin before a
//! rotation and end after it.

use std::borrow::Cow;

use super::Entry;
use crate::logs::tail::LINE_BYTES;

/// The parts of a line so far.
#[derive(Debug, Default)]
pub(crate) struct Join {
    bytes: Vec<u8>,
    ts: Option<u64>,
    is_open: bool,
    is_cut: bool,
}

/// A whole line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Joined<'a> {
    pub(crate) text: Cow<'a, [u8]>,
    pub(crate) ts: Option<u64>,
    pub(crate) is_cut: bool,
}

impl Join {
    /// Takes a part; the whole line once its last one is there. Its time is its first part's.
    pub(crate) fn push<'a>(&mut self, entry: Entry<'a>) -> Option<Joined<'a>> {
        if !self.is_open && !entry.is_part {
            return Some(Joined { text: entry.text, ts: entry.ts, is_cut: false });
        }
        if !self.is_open {
            (self.is_open, self.ts) = (true, entry.ts);
        }
        let kept = entry.text.len().min(LINE_BYTES.saturating_sub(self.bytes.len()));
        self.is_cut |= kept < entry.text.len();
        self.bytes.extend_from_slice(&entry.text[..kept]);
        if entry.is_part { None } else { self.finish() }
    }

    /// The line as far as it came, if there is one.
    pub(crate) fn finish(&mut self) -> Option<Joined<'static>> {
        let Self { bytes, ts, is_open, is_cut } = std::mem::take(self);
        is_open.then_some(Joined { text: Cow::Owned(bytes), ts, is_cut })
    }

    /// The line will lack what comes now.
    pub(crate) fn cut(&mut self) {
        self.is_cut = true;
    }

    /// Memory held for them.
    pub(crate) fn held(&self) -> usize {
        self.bytes.capacity()
    }
}
