//! What was spooled a moment ago, as it was before it was packed: who sends it need not read and unpack it again.
//!
//! Bounded in bytes: the oldest goes first, and is read from its file then, as everything is after a restart.

use std::collections::VecDeque;

use bytes::Bytes;

use super::BatchId;

/// The last batches; keeps nothing unless it is told how much.
#[derive(Debug, Default)]
pub(super) struct Recent {
    kept: VecDeque<(BatchId, Bytes)>,
    bytes: usize,
    most: usize,
}

impl Recent {
    /// Keeps at most so many bytes from now on.
    pub(super) fn keep(&mut self, most: usize) {
        self.most = most;
        self.shrink();
    }

    /// Whether anything is kept at all.
    pub(super) fn is_on(&self) -> bool {
        self.most > 0
    }

    pub(super) fn put(&mut self, id: BatchId, payload: Bytes) {
        self.bytes += payload.len();
        self.kept.push_back((id, payload));
        self.shrink();
    }

    /// It is asked for once; what must be sent again is read from its file.
    pub(super) fn take(&mut self, id: BatchId) -> Option<Bytes> {
        let place = self.kept.iter().position(|(kept, _)| *kept == id)?;
        let (_, payload) = self.kept.remove(place)?;
        self.bytes -= payload.len();
        Some(payload)
    }

    fn shrink(&mut self) {
        while self.bytes > self.most {
            let Some((_, payload)) = self.kept.pop_front() else { return };
            self.bytes -= payload.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::Recent;

    #[test]
    fn the_oldest_goes_first_and_each_is_taken_once() {
        let mut recent = Recent::default();
        recent.put((1, 1), Bytes::from_static(b"abc"));
        assert!(!recent.is_on() && recent.take((1, 1)).is_none());
        recent.keep(6);
        for seq in 1..=3 {
            recent.put((1, seq), Bytes::from_static(b"abc"));
        }
        assert!(recent.take((1, 1)).is_none());
        assert_eq!(recent.take((1, 3)).as_deref(), Some(&b"abc"[..]));
        assert!(recent.take((1, 3)).is_none());
        recent.put((1, 4), Bytes::from_static(b"more than six"));
        assert!(recent.take((1, 2)).is_none() && recent.take((1, 4)).is_none() && recent.bytes == 0);
    }
}
