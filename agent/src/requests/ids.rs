//! Trace and span ids.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// A source of ids: the same for the same seed.
#[derive(Debug)]
pub struct Ids {
    state: u64,
}

impl Ids {
    /// From the machine's own randomness.
    pub fn random() -> Self {
        Self::seeded(RandomState::new().build_hasher().finish())
    }

    /// For tests: the same ids each time.
    pub fn seeded(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Sixteen bytes, never all zero.
    pub fn trace(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        let (high, low) = id.split_at_mut(8);
        high.copy_from_slice(&self.next().to_be_bytes());
        low.copy_from_slice(&self.next().to_be_bytes());
        id
    }

    /// Eight bytes, never all zero.
    pub fn span(&mut self) -> [u8; 8] {
        self.next().to_be_bytes()
    }

    /// `SplitMix64`, without its one zero.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).max(1)
    }
}

/// Lower-case hex.
pub fn hex(id: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |four: u8| char::from(DIGITS[usize::from(four & 15)]);
    id.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

#[cfg(test)]
mod tests {
    use super::{Ids, hex};

    #[test]
    fn ids_differ_and_repeat_with_their_seed() {
        let mut ids = Ids::seeded(7);
        let (first, second) = (ids.trace(), ids.trace());
        assert_ne!(first, second);
        assert_eq!(Ids::seeded(7).trace(), first);
        assert_eq!(hex(&[0, 0xa1, 0xff]), "00a1ff");
        assert_eq!(hex(&ids.span()).len(), 16);
    }
}
