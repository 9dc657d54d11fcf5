//! `body.bin`: log bodies in row order, in pages that can be read alone, with what is needed to leave pages out.
//!
//! In: bodies by stream. Out: bodies by row, and which rows may hold a token. Format: `format.md`.
//! A body file is a sequence of runs, one per stream, each of plain pages or of blocks of templates and columns
//! ([`crate::template`]), whichever is smaller.
//! Does not: know levels, times, or what a match is.

pub(super) mod bloom;
mod candidates;
mod format;
mod read;
mod tokens;
mod write;

pub(crate) use candidates::Candidates;
pub(crate) use format::Run;
pub(crate) use read::{Access, BodyFile, Times};
pub(super) use tokens::TokenSet;
pub(crate) use tokens::Tokens;
pub(crate) use write::{BlockEncoder, BodyWriter, Written};
