//! `body.bin`: log bodies in row order, in pages that can be read alone, with what is needed to leave pages out.
//!
//! In: bodies by stream. Out: bodies by row, and which rows may hold a token. Format: `format.md`.
//! A body file is a sequence of runs, one per stream, each in an encoding; the only one so far is plain pages. What a
//! reader asks ([`BodyFile::read`], [`BodyFile::candidates`]) does not depend on it, so a second encoding moves no wall.
//! Does not: know levels, times, or what a match is.

mod bloom;
mod format;
mod read;
mod write;

pub(crate) use format::Run;
pub(crate) use read::{BodyFile, Candidates};
pub(crate) use write::BodyWriter;
