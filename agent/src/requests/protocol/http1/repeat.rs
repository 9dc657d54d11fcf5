//! Heads that come again: on a kept connection a client asks the same time after time, and is answered with the same head until
//! the second ends. To know one again takes a tenth of what it takes to read it.

use crate::requests::hash::print;

/// Bytes of a head that is looked for.
const MOST_BYTES: usize = 1_024;
/// A connection of which so many heads in a row were others repeats nothing: no more of its are looked for.
const MOST_OTHERS: u8 = 8;

/// The last head of one direction: its length and its print, since cookies and the like are not kept, and what was read from it.
pub(super) struct Repeat<T> {
    length: usize,
    print: u64,
    read: Option<T>,
    others: u8,
}

impl<T> Default for Repeat<T> {
    fn default() -> Self {
        Self { length: 0, print: 0, read: None, others: 0 }
    }
}

impl<T> Repeat<T> {
    /// What was read from the head that these bytes begin with, if it is the same, and how long that is.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<(&T, usize)> {
        let read = self.read.as_ref()?;
        let head = bytes.get(..self.length)?;
        (print(head) == self.print).then_some((read, self.length))
    }

    /// It was the same.
    pub(super) fn found(&mut self) {
        self.others = 0;
    }

    /// Takes a whole head in place of the last one.
    pub(super) fn keep(&mut self, head: &[u8], read: impl FnOnce() -> T) {
        self.read = None;
        if self.others >= MOST_OTHERS {
            return;
        }
        self.others += 1;
        if head.len() <= MOST_BYTES {
            (self.length, self.print) = (head.len(), print(head));
            self.read = Some(read());
        }
    }

    /// Whether there is a head.
    pub(super) fn is_some(&self) -> bool {
        self.read.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_BYTES, MOST_OTHERS, Repeat};

    #[test]
    fn the_last_head_is_found_again_and_no_other() {
        let mut repeat = Repeat::default();
        assert!(repeat.find(b"GET / HTTP/1.1\r\n\r\n").is_none());
        repeat.keep(b"GET / HTTP/1.1\r\n\r\n", || 1);
        assert_eq!(repeat.find(b"GET / HTTP/1.1\r\n\r\nmore"), Some((&1, 18)));
        assert!(repeat.find(b"GET / HTTP/1.1\r\n").is_none());
        repeat.keep(b"GET /a HTTP/1.1\r\n\r\n", || 2);
        assert!(repeat.find(b"GET / HTTP/1.1\r\n\r\nmore").is_none());
        // too long
        repeat.keep(&[b'a'; MOST_BYTES + 1], || 3);
        assert!(!repeat.is_some());
    }

    #[test]
    fn what_repeats_nothing_is_not_kept_for_good() {
        let mut repeat = Repeat::default();
        let heads = |from: usize| (from..).map(|number| format!("GET /{number} HTTP/1.1\r\n\r\n"));
        for head in heads(0).take(usize::from(MOST_OTHERS) - 1) {
            repeat.keep(head.as_bytes(), || ());
        }
        repeat.found();
        for head in heads(100).take(usize::from(MOST_OTHERS)) {
            repeat.keep(head.as_bytes(), || ());
            assert!(repeat.find(head.as_bytes()).is_some());
        }
        for head in heads(200).take(3) {
            repeat.keep(head.as_bytes(), || ());
            assert!(!repeat.is_some());
        }
    }
}
