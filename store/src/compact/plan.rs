//! Which segments are merged next.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::segment::{Segment, day_folder};
use crate::state::Shared;
use crate::{Limits, SealError, Table};

const NS: i64 = 1_000_000_000;
const HOUR_NS: i64 = 3_600 * NS;
const DAY_NS: i64 = 24 * HOUR_NS;
/// After an hour's end its rows have come, but for those of nodes that were away.
const SETTLED_NS: i64 = 2 * HOUR_NS;
/// Segments of one job: each is open while it runs.
const MOST_INPUTS: usize = 16;
/// Segments of a day that are merged at once: 24 hours, and what came late.
const MOST_OF_A_DAY: usize = 64;
/// A day whose segments take more than this stays in hours, bytes.
const SMALL_DAY: u64 = 64 << 20;
/// Rows are counted in 32 bits within a segment.
const MOST_ROWS: u64 = 20_000_000;
/// Text of a log segment: its blooms are in memory while it is written, 3 % of it.
const MOST_TEXT: u64 = 1 << 30;

/// One merge.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) table: Table,
    pub(super) level: u32,
    pub(super) id: String,
    /// The folder of the new segment, relative to the store.
    pub(super) path: PathBuf,
    /// By lsn.
    pub(super) inputs: Vec<Arc<Segment>>,
}

/// The next merge that is due, if there is room for it.
pub(super) fn next(shared: &Shared, now_ns: i64) -> Result<Option<Job>, SealError> {
    let (total, free) = shared.space()?;
    let state = shared.state();
    if state.stopped.is_some() || state.disk_full {
        return Ok(None);
    }
    for table in Table::ALL {
        let segments = &state.segments[table.index()][..];
        let job = hour(shared, table, segments, now_ns).or_else(|| day(shared, table, segments, now_ns));
        let Some(job) = job else { continue };
        let bytes: u64 = job.inputs.iter().map(|segment| segment.file_bytes()).sum();
        // old and new lie beside each other for a while
        let used = total.saturating_sub(free).saturating_add(2 * bytes);
        if used <= total / 100 * u64::from(shared.limits.disk_drop_percent) {
            return Ok(Some(job));
        }
    }
    Ok(None)
}

/// Sealed segments of one hour: several at any time, or any two once the hour's rows have come. Neighbours by lsn among all
/// of the hour, so that no two segments of an hour ever have positions in common: a rebuild of the catalog relies on it.
fn hour(shared: &Shared, table: Table, segments: &[Arc<Segment>], now_ns: i64) -> Option<Job> {
    let limits = &shared.limits;
    let mut hours: BTreeMap<i64, Vec<&Arc<Segment>>> = BTreeMap::new();
    for segment in segments {
        hours.entry(segment.times().0.div_euclid(HOUR_NS)).or_default().push(segment);
    }
    for (hour, mut segments) in hours {
        let settled = now_ns.saturating_sub((hour + 1).saturating_mul(HOUR_NS)) >= SETTLED_NS;
        let least = if settled { 2 } else { limits.compact_segments.max(2) };
        segments.sort_by_key(|segment| segment.entry.min_lsn);
        for run in segments.split(|segment| segment.entry.level > 0 || shared.unreadable.has(segment)) {
            let mut rest = run;
            while rest.len() >= least {
                let fitting = fitting(rest, limits);
                if fitting >= least {
                    return Some(job(table, 1, &rest[..fitting], now_ns));
                }
                rest = &rest[fitting.max(1)..];
            }
        }
    }
    None
}

/// How many of the first fit into one.
fn fitting(segments: &[&Arc<Segment>], limits: &Limits) -> usize {
    let (mut bytes, mut rows, mut text) = (0, 0, 0);
    let fits = |segment: &&&Arc<Segment>| {
        bytes += segment.file_bytes();
        rows += segment.rows();
        text += segment.entry.text_bytes;
        bytes <= limits.compact_bytes && rows <= MOST_ROWS && text <= MOST_TEXT
    };
    segments.iter().take(MOST_INPUTS).take_while(fits).count()
}

/// All segments of a day for which no row can come any more, if they are small.
fn day(shared: &Shared, table: Table, segments: &[Arc<Segment>], now_ns: i64) -> Option<Job> {
    let limits = &shared.limits;
    let late = i64::try_from(limits.max_past_s).unwrap_or(i64::MAX).saturating_mul(NS);
    let age = i64::try_from(limits.seal_age_s).unwrap_or(i64::MAX).saturating_mul(NS);
    let wait = late.saturating_add(age).saturating_add(HOUR_NS);
    let mut days: BTreeMap<i64, Vec<&Arc<Segment>>> = BTreeMap::new();
    for segment in segments {
        days.entry(segment.times().0.div_euclid(DAY_NS)).or_default().push(segment);
    }
    for (day, mut segments) in days {
        let over = now_ns.saturating_sub((day + 1).saturating_mul(DAY_NS)) >= wait;
        let bytes: u64 = segments.iter().map(|segment| segment.file_bytes()).sum();
        let rows: u64 = segments.iter().map(|segment| segment.rows()).sum();
        let fresh = segments.iter().all(|segment| segment.entry.level < 2 && !shared.unreadable.has(segment));
        let few = (2..=MOST_OF_A_DAY).contains(&segments.len());
        if over && fresh && few && bytes <= SMALL_DAY && rows <= MOST_ROWS {
            segments.sort_by_key(|segment| segment.entry.min_lsn);
            return Some(job(table, 2, &segments, now_ns));
        }
    }
    None
}

fn job(table: Table, level: u32, inputs: &[&Arc<Segment>], now_ns: i64) -> Job {
    let last_lsn = inputs.iter().map(|segment| segment.entry.max_lsn).max().unwrap_or(0);
    let ts = inputs.iter().map(|segment| segment.times().0).min().unwrap_or(0);
    let id = format!("{last_lsn:012x}-{:x}-{level}", now_ns.max(0));
    let folder = match level {
        1 => crate::segment::hour_folder(table, ts),
        _ => day_folder(table, ts),
    };
    let inputs = inputs.iter().map(|segment| Arc::clone(segment)).collect();
    Job { table, level, path: folder.join(&id), id, inputs }
}
