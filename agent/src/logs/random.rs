//! Seeded random numbers for model and fuzz tests (xorshift64*).

/// The same sequence for the same seed.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// 0 to `limit` - 1.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0) % limit.max(1)
    }

    /// At most so many bytes.
    pub(crate) fn bytes(&mut self, most: usize) -> Vec<u8> {
        let count = self.below(most + 1);
        (0..count).map(|_| self.next().to_le_bytes()[7]).collect()
    }

    /// Pieces of these kinds, and random bytes, one after the other.
    pub(crate) fn mix(&mut self, pieces: &[&[u8]], most: usize) -> Vec<u8> {
        let count = self.below(most + 1);
        let mut text = Vec::new();
        for _ in 0..count {
            if self.below(4) == 0 {
                text.extend_from_slice(&self.bytes(5));
            } else {
                text.extend_from_slice(pieces[self.below(pieces.len())]);
            }
        }
        text
    }
}
