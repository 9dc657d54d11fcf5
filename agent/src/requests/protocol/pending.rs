//! Requests whose answers come in the same order: a bounded queue that counts what it could not keep.

use std::collections::VecDeque;

/// Requests of one connection that wait for their answers.
pub(super) struct Pending<T> {
    slots: VecDeque<Slot<T>>,
    kept: usize,
    limit: usize,
}

enum Slot<T> {
    Kept(T),
    /// As many requests were passed by, since the queue was full.
    Passed(u64),
}

impl<T> Pending<T> {
    pub(super) fn new(limit: usize) -> Self {
        Self { slots: VecDeque::new(), kept: 0, limit }
    }

    /// Adds a request; false if it is only counted.
    pub(super) fn push(&mut self, request: T) -> bool {
        if self.kept < self.limit {
            self.kept += 1;
            self.slots.push_back(Slot::Kept(request));
            return true;
        }
        match self.slots.back_mut() {
            Some(Slot::Passed(count)) => *count += 1,
            _ => self.slots.push_back(Slot::Passed(1)),
        }
        false
    }

    /// The request that is answered next, if it was kept.
    pub(super) fn front(&mut self) -> Option<&mut T> {
        match self.slots.front_mut() {
            Some(Slot::Kept(request)) => Some(request),
            _ => None,
        }
    }

    /// The request that was asked last, if it was kept.
    pub(super) fn back(&mut self) -> Option<&mut T> {
        match self.slots.back_mut() {
            Some(Slot::Kept(request)) => Some(request),
            _ => None,
        }
    }

    /// Takes the request that was answered.
    pub(super) fn pop(&mut self) -> Option<T> {
        match self.slots.front_mut()? {
            Slot::Passed(count) if *count > 1 => {
                *count -= 1;
                None
            }
            _ => match self.slots.pop_front()? {
                Slot::Kept(request) => {
                    self.kept -= 1;
                    Some(request)
                }
                Slot::Passed(_) => None,
            },
        }
    }

    /// How many are kept.
    pub(super) fn len(&self) -> usize {
        self.kept
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Takes all that were kept.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.kept = 0;
        std::mem::take(&mut self.slots).into_iter().filter_map(|slot| match slot {
            Slot::Kept(request) => Some(request),
            Slot::Passed(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Pending;

    #[test]
    fn what_was_not_kept_still_takes_its_answer() {
        let mut pending = Pending::new(2);
        assert_eq!([1, 2, 3, 4].map(|request| pending.push(request)), [true, true, false, false]);
        assert_eq!((pending.pop(), pending.pop()), (Some(1), Some(2)));
        assert!(pending.push(5));
        assert_eq!((pending.pop(), pending.pop(), pending.pop()), (None, None, Some(5)));
        assert!(pending.is_empty());
    }
}
