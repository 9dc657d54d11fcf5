//! Segments: sealed rows of one table and hour, immutable.
//!
//! A folder `seg/<tenant>/<table>/<date>/<hour>/<id>/` with `data.parquet` (every column but the log's body), for the
//! log `body.bin`, `sketch.parquet` and `patterns.parquet`, for tables that are searched by their values `terms.bin`, and
//! `meta.json`, written last. Rows are sorted, and a row's number is the same in all of them.

mod body;
mod cache;
mod columns;
mod delays;
mod entry;
mod handle;
mod pages;
mod patterns;
mod reader;
mod rows;
mod sketch;
mod tail;
mod terms;
mod traces;
mod versions;

pub(crate) use body::{Access, BlockEncoder, BodyFile, BodyWriter, Candidates, Run, Times, Tokens, Written};
pub(crate) use columns::{ColumnsFile, writer_properties};
pub(crate) use delays::{stored, stored_schema};
pub(crate) use entry::{
    Entry, FileEntry, META, NamespaceRows, TENANT, VERSION, day_folder, hour_folder, this_release,
};
pub(crate) use handle::{Segment, checksum};
pub(crate) use patterns::{Lines as PatternLines, PatternCounts, Version, Versions};
pub(crate) use reader::{Reader, TakeKeys, Unpacked};
pub(crate) use rows::{Batches, read, times};
pub(crate) use sketch::{Group, MergedSketch, Sketch, SketchBuilder};
pub(crate) use terms::{TERMS, Terms, TermsWriter, columns as term_columns};
pub(crate) use versions::versions;

/// The file of columns.
pub(crate) const DATA: &str = "data.parquet";
/// The file of log bodies.
pub(crate) const BODY: &str = "body.bin";
/// The file of patterns.
pub(crate) const PATTERNS: &str = "patterns.parquet";
/// The file of counts per minute.
pub(crate) const SKETCH: &str = "sketch.parquet";

fn bad(detail: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, detail)
}
