//! Split-block blooms over a page's tokens: one probe touches one block of 32 bytes.
//!
//! A token's hash is xxh3, mixed with the page's salt, so that a false positive in one page says nothing of the next.

/// Bytes of a block.
pub(in crate::segment) const BLOCK: usize = 32;
/// Bits per token for 0.1 % false positives.
const BITS: usize = 15;
/// With fewer bits per token a bloom is not worth its bytes.
const MIN_BITS: usize = 8;
/// Odd numbers that choose one bit in each of the eight words of a block (those of the Parquet format).
const WORDS: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// The hash of a token, before salting.
#[inline]
pub(in crate::segment) fn hash(token: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(token)
}

#[inline]
fn salted(hash: u64, salt: u64) -> u64 {
    let mixed = (hash ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

#[inline]
fn place(hash: u64, blocks: usize) -> usize {
    let (high, blocks) = (hash >> 32, blocks as u64);
    usize::try_from((high * blocks) >> 32).unwrap_or(0)
}

/// How many blocks hold so many tokens of a page within `cap` bytes; 0 if they do not fit.
pub(in crate::segment) fn blocks(tokens: usize, cap: usize) -> usize {
    let wanted = (tokens * BITS).div_ceil(BLOCK * 8).max(1);
    let blocks = wanted.min(cap / BLOCK);
    if blocks * BLOCK * 8 >= tokens * MIN_BITS { blocks } else { 0 }
}

/// The most tokens that fit within `cap` bytes.
pub(in crate::segment) fn most(cap: usize) -> usize {
    cap / BLOCK * BLOCK * 8 / MIN_BITS
}

/// Writes a bloom of `blocks` blocks.
pub(in crate::segment) fn build(
    hashes: impl Iterator<Item = u64>,
    salt: u64,
    blocks: usize,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    let mut words = vec![[0_u32; 8]; blocks];
    for hash in hashes {
        let hash = salted(hash, salt);
        let block = &mut words[place(hash, blocks)];
        let low = bits(hash);
        for (word, odd) in block.iter_mut().zip(WORDS) {
            *word |= 1 << (low.wrapping_mul(odd) >> 27);
        }
    }
    out.reserve(blocks * BLOCK);
    words.iter().flatten().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    debug_assert_eq!(out.len() - start, blocks * BLOCK);
}

/// The position of the block that a token's hash touches, in a bloom of so many blocks.
pub(in crate::segment) fn block_of(hash: u64, salt: u64, blocks: usize) -> usize {
    place(salted(hash, salt), blocks)
}

/// Whether that block has the token: false is certain.
pub(in crate::segment) fn has(block: &[u8; BLOCK], hash: u64, salt: u64) -> bool {
    let low = bits(salted(hash, salt));
    block.as_chunks::<4>().0.iter().zip(WORDS).all(|(word, odd)| {
        let bit = 1 << (low.wrapping_mul(odd) >> 27);
        u32::from_le_bytes(*word) & bit != 0
    })
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
fn bits(hash: u64) -> u32 {
    hash as u32
}
