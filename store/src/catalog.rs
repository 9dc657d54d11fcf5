//! The catalog: which segments there are, up to where each table is sealed, which batches are stored.
//!
//! An append-only manifest of edits with a checksum each, that begins with a snapshot; `CURRENT` names it. Until a
//! manifest record is durable, nothing that it speaks of exists. Where records were lost, the segments' own `meta.json`
//! says what they said. Format: `format.md`.
//! Does not: change segment files.

mod manifest;
mod rebuild;
mod record;

pub(crate) use manifest::{Loaded, Manifest, fuzz, load};
pub(crate) use rebuild::rebuild;
pub(crate) use record::{CommitError, Contents, Covered, Edit};
