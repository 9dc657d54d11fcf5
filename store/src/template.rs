//! Log bodies as templates and typed columns: the second encoding of `body.bin`, a block of rows at a time.
//!
//! ```text
//! bodies ─ split ─▶ templates + slots ─ merge ─▶ columns (number, time, hex, words, shapes) ─ pack ─▶ block
//! needle ─ find ─▶ which rows have it, from templates and columns alone      block ─ decode ─▶ bodies
//! ```
//! In: the bodies of one stream and their times. Out: a block that gives every byte back, and answers which rows hold a
//! needle without them. Format: `format.md`.
//! Invariants: exact for any bytes; a block is bounded ([`MAX_TEXT`], [`MAX_ROWS`]); a reader of damaged bytes answers
//! with an error, in bounded memory. Does not: decide whether a block is worth it (the body writer compares sizes).

mod automaton;
mod bits;
mod block;
mod column;
mod decode;
mod encode;
mod fields;
mod find;
mod head;
mod integer;
mod may;
mod merge;
mod pack;
mod passing;
mod probe;
mod split;
mod time;
mod values;
mod walk;

#[cfg(test)]
mod tests;

pub(crate) use automaton::Recipe;
pub(crate) use bits::Bits;
pub(crate) use block::{Block, BlockHead, Location, Records};
pub(crate) use encode::{Encoded, Encoder, Patterns, patterns};
pub(crate) use fields::FieldCounts;
pub(crate) use find::Needle;

/// Text of a block, bytes: a block ends before it, unless one body is larger.
pub(crate) const BLOCK_TEXT: usize = 12 << 20;
/// Rows of a block.
pub(crate) const MAX_ROWS: usize = 65_536;
/// What a reader believes of a block's text, bytes: a full block and one of the longest bodies.
pub(crate) const MAX_TEXT: usize = 32 << 20;
/// A body is split into so many lines; the last one takes the rest.
const MAX_LINES: usize = 256;
/// Lines of a block after which bodies are no longer split.
const MANY_LINES: usize = 512 << 10;
/// Lines of a block that a reader believes in.
const MAX_BLOCK_LINES: usize = 1 << 20;
/// Slots of a line; the last one takes the rest.
const MAX_SLOTS: usize = 64;
/// Templates of a block; further lines are kept whole, as one value.
const MAX_TEMPLATES: usize = 4_096;
/// Text of one template, bytes; lines with more are kept whole.
const MAX_TEMPLATE: usize = 8 << 10;
/// Text of all templates of a block, bytes.
const MAX_TEMPLATE_TEXT: usize = 512 << 10;
/// Shapes of one column's values.
const MAX_SHAPES: usize = 256;
/// Stands in a template for a slot of any text.
pub(crate) const SLOT: u8 = 0;
/// Stands in a template for a slot of digits.
pub(crate) const DIGITS: u8 = 1;

/// The times of some rows of a block, or of all.
pub(crate) fn chosen(times: &[i64], rows: Option<&[u32]>) -> Vec<i64> {
    match rows {
        Some(rows) => rows.iter().filter_map(|row| times.get(*row as usize)).copied().collect(),
        None => times.to_vec(),
    }
}

/// Bytes that cannot be a block of this format.
fn bad(detail: &'static str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, detail)
}
