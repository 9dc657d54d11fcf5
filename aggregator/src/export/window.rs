//! Positions on their way out, how large a request may be, and why it does not go on.

use std::time::Duration;

use super::rows::REQUEST_RECORDS;

/// A request has at most so many bytes before it is packed, unless a single record has more.
const REQUEST_BYTES: usize = 512 << 10;
/// However little an endpoint takes at a time, it is tried with so much before each record goes by itself.
const LEAST_BYTES: usize = 8 << 10;
/// After so many requests that were taken, larger ones are tried again.
const GROW_AFTER: u32 = 16;

/// Positions that are being sent: which of them are done, so that a window which is read again sends none twice.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) after: i64,
    pub(super) upto: i64,
    done: Vec<bool>,
    pub(super) bytes: usize,
    /// Each record goes by itself.
    singly: bool,
}

/// The window did not get through.
#[derive(Debug)]
pub(super) enum Stuck {
    /// The endpoint takes nothing now.
    Endpoint { after: Option<Duration>, why: String },
    /// What answers takes no OTLP from us.
    Misplaced { why: String },
    /// A request was dropped, and not the first in a row: the next one waits.
    Dropped { wait: Duration },
    /// The next request has to be smaller.
    TooLarge,
    /// Rows cannot be read.
    Store(store::ScanError),
}

/// How many bytes a request may have: as many as the endpoint was seen to take, and now and then a few more.
#[derive(Debug)]
pub(super) struct Size {
    most: usize,
    /// Requests that were taken since it last changed.
    taken: u32,
}

impl Default for Size {
    fn default() -> Self {
        Self { most: REQUEST_BYTES, taken: 0 }
    }
}

impl Size {
    /// A request of several records and so many bytes was too large.
    pub(super) fn refused(&mut self, bytes: usize, window: &mut Window) {
        self.taken = 0;
        if self.most <= LEAST_BYTES || bytes <= LEAST_BYTES {
            window.singly = true;
            return;
        }
        self.most = (bytes / 2).clamp(LEAST_BYTES, self.most);
    }

    /// A request was taken.
    pub(super) fn taken(&mut self) {
        self.taken += 1;
        if self.taken >= GROW_AFTER {
            *self = Self { most: (self.most + self.most / 8).min(REQUEST_BYTES), taken: 0 };
        }
    }

    /// Whether a request of so many records and bytes is more than may be sent of this window at a time.
    pub(super) fn is_over(&self, records: usize, bytes: usize, window: &Window) -> bool {
        records > 1 && (window.singly || bytes > self.most || records > REQUEST_RECORDS)
    }
}

impl Window {
    pub(super) fn new(after: i64, upto: i64) -> Self {
        let positions = usize::try_from(upto.saturating_sub(after)).unwrap_or(0);
        Self { after, upto, done: vec![false; positions], bytes: 0, singly: false }
    }

    pub(super) fn is_done(&self, lsn: i64) -> bool {
        self.place(lsn).is_none_or(|place| self.done[place])
    }

    pub(super) fn finish(&mut self, lsns: &[i64]) {
        for lsn in lsns {
            if let Some(place) = self.place(*lsn) {
                self.done[place] = true;
            }
        }
    }

    fn place(&self, lsn: i64) -> Option<usize> {
        let place = usize::try_from(lsn.checked_sub(self.after)?.checked_sub(1)?).ok()?;
        (place < self.done.len()).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::{GROW_AFTER, LEAST_BYTES, REQUEST_BYTES, Size, Window};

    #[test]
    fn what_is_too_large_is_halved_until_each_record_goes_by_itself() {
        let (mut size, mut window) = (Size::default(), Window::new(0, 8));
        let mut bytes = REQUEST_BYTES;
        while bytes > LEAST_BYTES {
            assert!(!size.is_over(2, bytes, &window) && size.is_over(2, bytes + 1, &window));
            size.refused(bytes, &mut window);
            bytes /= 2;
        }
        assert!(!window.singly);
        size.refused(LEAST_BYTES, &mut window);
        assert!(window.singly);
        assert!(size.is_over(2, 1, &window) && !size.is_over(1, usize::MAX, &window));
        assert!(!size.is_over(2, LEAST_BYTES, &Window::new(8, 16)), "the next window begins with some again");
    }

    #[test]
    fn a_small_request_that_is_too_large_says_nothing_of_those_that_were_taken() {
        let (mut size, mut window) = (Size::default(), Window::new(0, 8));
        size.refused(100, &mut window);
        assert!(window.singly);
        assert!(!size.is_over(2, REQUEST_BYTES, &Window::new(8, 16)), "the next window is sent as before");
    }

    #[test]
    fn what_is_taken_makes_requests_larger_again() {
        let (mut size, mut window) = (Size::default(), Window::new(0, 8));
        size.refused(REQUEST_BYTES, &mut window);
        let half = REQUEST_BYTES / 2;
        (1..GROW_AFTER).for_each(|_| size.taken());
        assert!(size.is_over(2, half + 1, &window));
        size.taken();
        assert!(!size.is_over(2, half + half / 8, &window) && size.is_over(2, half + half / 8 + 1, &window));
        (0..100 * GROW_AFTER).for_each(|_| size.taken());
        assert!(!size.is_over(2, REQUEST_BYTES, &window) && size.is_over(2, REQUEST_BYTES + 1, &window));
    }
}
