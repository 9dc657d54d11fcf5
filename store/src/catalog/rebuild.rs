//! Putting a catalog right of which a part was lost: what the segments on disk say of themselves fills the gap.
//!
//! A segment that no readable record names was added by a lost edit, or was never committed. It need not be known
//! which: it holds every row of its table, hours and lsns up to its own, so it is taken in, and replay leaves out those
//! rows ([`Covered`]). What has rows in common with a listed segment came before it and is left alone.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::Loaded;
use super::record::{Contents, Covered};
use crate::segment::{Entry, META, VERSION};

const HOUR_NS: i64 = 3_600_000_000_000;

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Rebuilt {
    /// Segments that are listed and not on disk: a lost edit took them out, or they are lost.
    pub(crate) gone: Vec<String>,
    /// Segments that are listed beside what they were merged into: a lost edit took them out.
    pub(crate) doubled: Vec<String>,
    /// Segments that were taken in.
    pub(crate) taken: Vec<String>,
    /// Folders in `seg` of which nobody knows what they hold, or of which a part is lost.
    pub(crate) unknown: Vec<PathBuf>,
}

/// Completes what was loaded by the segments in `folders`. `first_lsn` is the first that the WAL has.
pub(crate) fn rebuild(
    root: &Path,
    loaded: &mut Loaded,
    folders: &[PathBuf],
    first_lsn: Option<i64>,
) -> Rebuilt {
    let mut rebuilt = Rebuilt::default();
    let contents = &mut loaded.contents;
    let there = |entry: &Entry| entry.folder(root).is_some_and(|folder| folders.contains(&folder));
    for entry in contents.segments.extract_if(.., |entry| !there(entry)).collect::<Vec<_>>() {
        rebuilt.gone.push(format!("{} is listed and not on disk: {}", entry.path, described(&entry)));
        // where a lost edit took it out, another segment has the rows: that is not known here
        contents.note_gone(&entry.table, entry.max_ts.saturating_add(1));
    }
    for entry in merged(contents) {
        rebuilt.doubled.push(format!("{} is in what it was merged into: {}", entry.path, described(&entry)));
    }
    let listed: HashSet<PathBuf> = contents.segments.iter().filter_map(|entry| entry.folder(root)).collect();
    let mut found: Vec<Entry> = Vec::new();
    for folder in folders.iter().filter(|folder| !listed.contains(*folder)) {
        match read(root, folder) {
            Some(entry) if loaded.removed.contains(&(entry.table.clone(), entry.path.clone())) => {}
            Some(entry) => found.push(entry),
            None => rebuilt.unknown.push(folder.clone()),
        }
    }
    // what was merged before what it was merged from, and of two attempts at the same rows the later, which has all
    found.sort_by_key(|entry| std::cmp::Reverse((entry.level, entry.max_lsn)));
    for entry in found {
        let others = contents.segments.iter().filter(|other| !entry.replaces.contains(&other.path));
        if others.into_iter().any(|other| has_in_common(other, &entry)) {
            continue;
        }
        if !is_whole(root, &entry, first_lsn) {
            rebuilt.unknown.extend(entry.folder(root));
            continue;
        }
        contents.segments.retain(|other| !entry.replaces.contains(&other.path));
        rebuilt.taken.push(format!("{} is taken in again: {}", entry.path, described(&entry)));
        add(contents, entry);
    }
    rebuilt
}

/// Takes out the entries whose rows another listed one has too. A merge is of neighbours, so what has rows in common
/// with it was merged into it.
fn merged(contents: &mut Contents) -> Vec<Entry> {
    contents.segments.sort_by_key(|entry| std::cmp::Reverse((entry.level, entry.max_lsn)));
    let mut kept: Vec<Entry> = Vec::new();
    let mut doubled = Vec::new();
    for entry in contents.segments.drain(..) {
        match kept.iter().any(|other| has_in_common(other, &entry)) {
            true => doubled.push(entry),
            false => kept.push(entry),
        }
    }
    contents.segments = kept;
    doubled
}

fn described(entry: &Entry) -> String {
    format!("{} rows of {}, lsn {} to {}", entry.rows, entry.table, entry.min_lsn, entry.max_lsn)
}

/// What a segment's folder says of itself; `None` if it is no segment, or one in a newer form. One of a table that only a
/// newer release knows is a segment all the same.
fn read(root: &Path, folder: &Path) -> Option<Entry> {
    let entry: Entry = serde_json::from_slice(&fs::read(folder.join(META)).ok()?).ok()?;
    (entry.version <= VERSION && entry.folder(root)? == folder).then_some(entry)
}

/// Whether the two may have rows in common: segments of one table and hour are neighbours by lsn.
fn has_in_common(one: &Entry, other: &Entry) -> bool {
    let hours = |entry: &Entry| (entry.min_ts.div_euclid(HOUR_NS), entry.max_ts.div_euclid(HOUR_NS));
    let meet = |a: (i64, i64), b: (i64, i64)| a.0 <= b.1 && b.0 <= a.1;
    one.table == other.table
        && meet(hours(one), hours(other))
        && meet((one.min_lsn, one.max_lsn), (other.min_lsn, other.max_lsn))
}

/// Whether its files are there. Where the WAL may still have the rows, every byte is checked before it is believed.
fn is_whole(root: &Path, entry: &Entry, first_lsn: Option<i64>) -> bool {
    let Some(folder) = entry.folder(root) else { return false };
    entry.files.iter().all(|file| {
        let path = folder.join(&file.name);
        match first_lsn.is_some_and(|first| first <= entry.max_lsn) {
            true => crate::segment::checksum(&path).is_ok_and(|found| found == (file.bytes, file.crc32c)),
            false => path.metadata().is_ok_and(|metadata| metadata.len() == file.bytes),
        }
    })
}

fn add(contents: &mut Contents, entry: Entry) {
    let sealed = contents.sealed_through.get(&entry.table).copied().unwrap_or(-1);
    if sealed < entry.max_lsn {
        contents.covered.push(Covered {
            table: entry.table.clone(),
            from_ts: entry.min_ts.div_euclid(HOUR_NS).saturating_mul(HOUR_NS),
            to_ts: (entry.max_ts.div_euclid(HOUR_NS) + 1).saturating_mul(HOUR_NS),
            min_lsn: entry.min_lsn,
            max_lsn: entry.max_lsn,
        });
    }
    contents.next_lsn = contents.next_lsn.max(entry.max_lsn + 1);
    contents.segments.push(entry);
}
