//! Tables that are asked several times for each request: a hash that takes few instructions.
//!
//! Seeded at start, since a workload chooses some of the keys (the ids of its own spans): it cannot know which of them meet.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;

/// A table by short keys.
pub type Table<K, V> = HashMap<K, V, Seed>;

/// What makes this agent's hashes differ from another's.
#[derive(Clone, Copy, Debug)]
pub struct Seed(u64);

impl Default for Seed {
    fn default() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }
}

impl BuildHasher for Seed {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded { state: self.0, seed: self.0 | 1 }
    }
}

/// What is left of a text that must not be kept, to know it again: a hash with a seed of this process.
pub fn print(bytes: &[u8]) -> u64 {
    static SEED: LazyLock<Seed> = LazyLock::new(Seed::default);
    let mut hasher = SEED.build_hasher();
    hasher.write(bytes);
    hasher.finish()
}

/// Each word is multiplied in, and both halves of the product count.
#[derive(Clone, Copy, Debug)]
pub struct Folded {
    state: u64,
    seed: u64,
}

impl Folded {
    fn word(&mut self, word: u64) {
        let product = u128::from(self.state ^ word ^ 0x9e37_79b9_7f4a_7c15) * u128::from(self.seed);
        self.state = (product as u64 ^ (product >> 64) as u64).wrapping_add(word.rotate_left(23));
    }
}

impl Hasher for Folded {
    fn finish(&self) -> u64 {
        let mixed = (self.state ^ (self.state >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ (mixed >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.word(chunk.try_into().map_or(0, u64::from_le_bytes));
        }
        let mut last = [0; 8];
        let rest = chunks.remainder();
        for (place, byte) in last.iter_mut().zip(rest) {
            *place = *byte;
        }
        self.word(u64::from_le_bytes(last) ^ (rest.len() as u64) << 56);
    }

    fn write_u8(&mut self, number: u8) {
        self.word(u64::from(number));
    }

    fn write_u16(&mut self, number: u16) {
        self.word(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.word(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.word(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.word(number as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher as _;

    use super::Seed;

    #[test]
    fn keys_that_differ_little_are_spread() {
        let seed = Seed::default();
        // of sockets' addresses, threads, and names the low seven and the high seven bits, which tables use
        for shift in [0, 57] {
            let of = |hashes: &mut dyn Iterator<Item = u64>| {
                let mut counts = [0_u32; 128];
                hashes.for_each(|hash| counts[(hash >> shift) as usize & 127] += 1);
                *counts.iter().max().unwrap()
            };
            let sockets =
                of(&mut (0..12_800_u64)
                    .map(|at| seed.hash_one((0xffff_8880_0000_0000 + at * 2_304, 77_u64))));
            let threads = of(&mut (0..12_800_u32).map(|at| seed.hash_one((1_000_u32, at))));
            let names = of(&mut (0..12_800_u32).map(|at| seed.hash_one(format!("GET /a/{at}"))));
            assert!([sockets, threads, names].iter().all(|most| *most < 200), "{sockets} {threads} {names}");
        }
        let all: HashSet<u64> = (0..100_000_u64).map(|at| seed.hash_one(at.to_be_bytes())).collect();
        assert_eq!(all.len(), 100_000);
    }
}
