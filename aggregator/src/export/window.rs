//! Positions on their way out, how large a request may be, and why it does not go on.

use std::time::Duration;

use super::rows::REQUEST_RECORDS;

/// A request has at most so many bytes before it is packed, unless a single record has more.
const REQUEST_BYTES: usize = 512 << 10;
/// However little an endpoint takes at a time, it is tried with so much before each record goes by itself.
const LEAST_BYTES: usize = 8 << 10;

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

/// How many bytes a request may have: as many as the endpoint was seen to take.
#[derive(Debug)]
pub(super) struct Size(usize);

impl Default for Size {
    fn default() -> Self {
        Self(REQUEST_BYTES)
    }
}

impl Size {
    /// A request of several records and so many bytes was too large.
    pub(super) fn refused(&mut self, bytes: usize, window: &mut Window) {
        if self.0 <= LEAST_BYTES || bytes <= LEAST_BYTES {
            window.singly = true;
        }
        self.0 = (bytes / 2).clamp(LEAST_BYTES, self.0);
    }

    /// Whether a request of so many records and bytes is more than may be sent of this window at a time.
    pub(super) fn is_over(&self, records: usize, bytes: usize, window: &Window) -> bool {
        records > 1 && (window.singly || bytes > self.0 || records > REQUEST_RECORDS)
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
    use super::{LEAST_BYTES, REQUEST_BYTES, Size, Window};

    #[test]
    fn what_is_too_large_is_halved_until_each_record_goes_by_itself() {
        let (mut size, mut window) = (Size::default(), Window::new(0, 8));
        let mut bytes = REQUEST_BYTES;
        while size.is_over(2, LEAST_BYTES + 1, &window) || !size.is_over(2, REQUEST_BYTES, &window) {
            size.refused(bytes, &mut window);
            bytes /= 2;
            assert!(bytes > 0);
        }
        assert!(!window.singly);
        while !window.singly {
            size.refused(LEAST_BYTES, &mut window);
        }
        assert!(size.is_over(2, 1, &window) && !size.is_over(1, usize::MAX, &window));
        assert!(!size.is_over(2, LEAST_BYTES, &Window::new(8, 16)), "the next window begins with some again");
    }

    #[test]
    fn a_small_request_that_is_too_large_says_nothing_of_those_that_were_taken() {
        let (mut size, mut window) = (Size::default(), Window::new(0, 8));
        size.refused(100, &mut window);
        assert!(window.singly);
    }
}
