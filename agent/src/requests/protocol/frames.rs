//! Frames with a length in their head, found again in the calls of one direction.
//!
//! Bytes of a frame that nobody wants are passed over without being kept, also where a call was cut; what cannot be
//! passed over by a length is `Lost`, and the next call is taken to begin a frame if it looks like one.
//! Bounded: what is kept is less than one call and one frame's wanted bytes.

use super::Chunk;

/// The most bytes of one frame that are kept.
pub(super) const MAX_WANT: usize = 16 * 1024;

/// Bytes within which a head must show how long its frame is.
const MAX_HEAD: usize = 64;

/// What the first bytes of a frame say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// Too little to say.
    Short,
    /// A frame of `len` bytes with its head, of which the first `want` are asked for.
    Frame { len: u64, want: usize },
    /// No frame begins here.
    Wrong,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// A frame: at least what was wanted, unless it was `cut`. Its first byte came at `began`.
    Frame { bytes: &'a [u8], cut: bool, began: u64 },
    /// Frames may have passed unseen.
    Lost,
}

/// One direction.
#[derive(Default)]
pub(super) struct Frames {
    kept: Vec<u8>,
    at: usize,
    /// Bytes of a frame that is known, still to come.
    skip: u64,
    /// Bytes of this call behind `kept` that were not captured.
    behind: u64,
    /// When the frame that is being put together began, and when the last call was.
    since: u64,
    now: u64,
    /// Whether where a frame begins is a guess.
    unsure: bool,
    lost: bool,
}

impl Frames {
    /// Takes a call; then `next` until there is nothing.
    pub(super) fn push(&mut self, chunk: &Chunk<'_>) {
        if chunk.gap {
            self.lose();
            self.lost = true;
        }
        self.kept.drain(..self.at);
        self.at = 0;
        if self.kept.is_empty() && self.kept.capacity() > MAX_WANT {
            self.kept = Vec::new();
        }
        if self.kept.is_empty() {
            self.since = chunk.ts_ns;
        }
        self.now = chunk.ts_ns;
        let passed = self.skip.min(chunk.bytes.len() as u64);
        self.skip -= passed;
        self.kept.extend_from_slice(&chunk.bytes[passed as usize..]);
        self.behind = chunk.total.saturating_sub(chunk.bytes.len() as u64);
    }

    /// The next frame; `head` reads how long it is, and is told whether its beginning is a guess.
    pub(super) fn next(&mut self, mut head: impl FnMut(&[u8], bool) -> Head) -> Option<Event<'_>> {
        if std::mem::take(&mut self.lost) {
            return Some(Event::Lost);
        }
        if self.at == self.kept.len() {
            return self.pass_over();
        }
        let begin = self.at;
        let seen = self.kept.len() - begin;
        match head(&self.kept[begin..], self.unsure) {
            Head::Short if self.behind == 0 && seen < MAX_HEAD => None,
            Head::Short | Head::Wrong => self.told_lost(),
            Head::Frame { len, want } => {
                let want = len.min(want.min(MAX_WANT) as u64) as usize;
                if seen < want && self.behind == 0 {
                    return None;
                }
                let have = len.min(seen as u64) as usize;
                self.unsure = false;
                self.at += have.max(1);
                self.skip = len.saturating_sub(have as u64);
                let began = std::mem::replace(&mut self.since, self.now);
                Some(Event::Frame { bytes: &self.kept[begin..begin + have], cut: have < want, began })
            }
        }
    }

    /// Whether the next byte begins a frame, as far as is known.
    pub(super) fn is_between(&self) -> bool {
        self.at == self.kept.len() && self.skip == 0 && self.behind == 0
    }

    /// Bytes that are kept.
    pub(super) fn memory(&self) -> usize {
        self.kept.capacity()
    }

    /// Whether the last frame has bytes to come that nobody wants.
    pub(super) fn is_open(&self) -> bool {
        self.skip > 0
    }

    /// Everything of this direction ends here.
    pub(super) fn lose(&mut self) {
        self.kept.clear();
        (self.at, self.skip, self.behind, self.unsure) = (0, 0, 0, true);
    }

    fn pass_over(&mut self) -> Option<Event<'_>> {
        let passed = self.skip.min(self.behind);
        self.skip -= passed;
        let unknown = std::mem::take(&mut self.behind) > passed;
        if unknown { self.told_lost() } else { None }
    }

    /// Said once, until a frame is found again.
    fn told_lost(&mut self) -> Option<Event<'_>> {
        let known = self.unsure;
        self.lose();
        if known { None } else { Some(Event::Lost) }
    }
}

#[cfg(test)]
mod tests;
