//! Runs a log request: find the rows, keep the best by (ts, lsn), then read their columns and bodies.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use arrow::array::{ArrayRef, AsArray as _, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{Int64Type, TimestampNanosecondType};

use super::{Plan, TABLE};
use crate::ScanError;
use crate::rows::{Chunk, LogRows};
use crate::scan::mask;
use crate::segment::{TakeKeys, Unpacked};
use crate::snapshot::{Emit, Snapshot};

/// Rows of one answer batch.
const ANSWER_ROWS: usize = 1_024;
/// Rows that are read at once, and the bytes of their bodies.
const SLICE_ROWS: usize = 8 * ANSWER_ROWS;
const SLICE_BYTES: usize = 32 << 20;
/// Unpacked pages that a query keeps for reading its rows' bodies: at most 16 MiB.
const KEPT_PAGES: usize = 32;

/// Where rows lie: a head chunk, or a segment, of the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Chunk(usize),
    Segment(usize),
}

/// A row that was found. Ordered by what comes first in the answer: the greatest is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    /// (ts, lsn), both negated when the oldest come first.
    rank: (i64, i64),
    source: Source,
    row: u32,
}

/// Finds, orders and hands over.
pub(crate) fn run(snapshot: &Snapshot, plan: &Plan, emit: Emit<'_>) {
    if plan.limit == Some(0) {
        return;
    }
    let mut best: BinaryHeap<Reverse<Found>> = BinaryHeap::new();
    let mut unpacked = Unpacked::new(KEPT_PAGES);
    for (source, times) in sources(snapshot, plan) {
        if plan.stop.is_set() {
            return;
        }
        if let (Some(limit), Some(Reverse(worst))) = (plan.limit, best.peek())
            && best.len() >= limit
            && worst.rank.0 > rank_of(plan, if plan.newest_first { times.1 } else { times.0 }, 0).0
        {
            // sources come best first: none of the rest can have a better row
            break;
        }
        let mut wanted = true;
        let mut take = |rows: &[u32], keys: &RecordBatch, unpacked: &Unpacked| {
            if plan.keys_only {
                wanted = emit(passed(plan, keys));
                return wanted;
            }
            offer(plan, source, rows, keys, &mut best);
            if plan.limit.is_none() {
                wanted = answer(snapshot, plan, std::mem::take(&mut best), unpacked, emit);
            }
            wanted
        };
        if let Err(error) = keys_of(snapshot, plan, source, &mut unpacked, &mut take)
            && !emit(Err(error))
        {
            return;
        }
        if !wanted {
            return;
        }
        if plan.limit.is_none() {
            unpacked = Unpacked::new(KEPT_PAGES);
        }
    }
    answer(snapshot, plan, best, &unpacked, emit);
}

fn rank_of(plan: &Plan, ts: i64, lsn: i64) -> (i64, i64) {
    if plan.newest_first { (ts, lsn) } else { (!ts, !lsn) }
}

/// Every source that can have rows, the best first.
fn sources(snapshot: &Snapshot, plan: &Plan) -> Vec<(Source, (i64, i64))> {
    let segments = snapshot.segments(TABLE).iter().enumerate();
    let segments = segments
        .filter(|(_, segment)| segment.last_lsn() > plan.after_lsn)
        .map(|(index, segment)| (Source::Segment(index), segment.times()));
    let chunks = snapshot.chunks(TABLE).iter().enumerate();
    let chunks = chunks
        .filter(|(_, chunk)| chunk.last_lsn().is_some_and(|lsn| lsn > plan.after_lsn))
        .filter_map(|(index, chunk)| Some((Source::Chunk(index), chunk.times()?)));
    let mut sources: Vec<_> = segments.chain(chunks).filter(|(_, times)| plan.overlaps(*times)).collect();
    match plan.newest_first {
        true => sources.sort_by_key(|(source, (_, newest))| (Reverse(*newest), *source)),
        false => sources.sort_by_key(|(source, (oldest, _))| (*oldest, *source)),
    }
    sources
}

/// Hands over the rows of a source whose body matches, with the columns that decide the rest.
fn keys_of(
    snapshot: &Snapshot,
    plan: &Plan,
    source: Source,
    unpacked: &mut Unpacked,
    take: TakeKeys<'_>,
) -> Result<(), ScanError> {
    match source {
        Source::Chunk(index) => match &*snapshot.chunks(TABLE)[index] {
            Chunk::Log(rows) => {
                let (rows, keys) = chunk_keys(plan, rows)?;
                take(&rows, &keys, unpacked);
                Ok(())
            }
            Chunk::Rows(_) => Ok(()),
        },
        Source::Segment(index) => {
            snapshot.reader.log_keys(&snapshot.segments(TABLE)[index], plan, unpacked, take)
        }
    }
}

/// The rows of a head chunk that match, with their key columns.
pub(super) fn chunk_keys(plan: &Plan, rows: &LogRows) -> Result<(Vec<u32>, RecordBatch), ScanError> {
    let mut found = Vec::new();
    if plan.matcher.is_empty() {
        found.extend((0..rows.len()).map(|row| u32::try_from(row).unwrap_or(u32::MAX)));
    } else {
        plan.matcher.matching(&rows.bodies, 0..rows.len(), &mut found);
    }
    let keys = rows.columns(&plan.keys, Some(&found))?;
    Ok((found, keys))
}

/// Calls `take` with the position in `keys`, `ts` and `lsn` of each row that passes all conditions; what was not asked for
/// is 0 and the last position.
pub(crate) fn passing(plan: &Plan, keys: &RecordBatch, mut take: impl FnMut(usize, i64, i64)) {
    let mask = mask(keys, plan.from_ns, plan.to_ns, &plan.filters);
    let ts = keys.column_by_name("ts").map(|ts| ts.as_primitive::<TimestampNanosecondType>().values());
    let lsn = keys.column_by_name("lsn").map(|lsn| lsn.as_primitive::<Int64Type>().values());
    for at in 0..keys.num_rows() {
        let lsn = lsn.map_or(i64::MAX, |lsn| lsn[at]);
        if lsn > plan.after_lsn && mask.as_ref().is_none_or(|mask| mask.value(at)) {
            take(at, ts.map_or(0, |ts| ts[at]), lsn);
        }
    }
}

/// The rows that pass all conditions, with their key columns.
fn passed(plan: &Plan, keys: &RecordBatch) -> Result<RecordBatch, ScanError> {
    let mut wanted = vec![false; keys.num_rows()];
    passing(plan, keys, |at, _, _| wanted[at] = true);
    Ok(filter_record_batch(keys, &BooleanArray::from(wanted))?)
}

fn offer(
    plan: &Plan,
    source: Source,
    rows: &[u32],
    keys: &RecordBatch,
    best: &mut BinaryHeap<Reverse<Found>>,
) {
    let beyond = plan.beyond.map(|(ts, lsn)| rank_of(plan, ts, lsn));
    passing(plan, keys, |at, ts, lsn| {
        let found = Found { rank: rank_of(plan, ts, lsn), source, row: rows[at] };
        if beyond.is_some_and(|beyond| found.rank >= beyond) {
            return;
        }
        match plan.limit {
            Some(limit) if best.len() >= limit => {
                if let Some(mut worst) = best.peek_mut()
                    && found > worst.0
                {
                    *worst = Reverse(found);
                }
            }
            _ => best.push(Reverse(found)),
        }
    });
}

/// Reads and hands over what was found; false when nobody wants more.
fn answer(
    snapshot: &Snapshot,
    plan: &Plan,
    found: BinaryHeap<Reverse<Found>>,
    unpacked: &Unpacked,
    emit: Emit<'_>,
) -> bool {
    // ascending order of `Reverse` is the answer's order
    let found: Vec<Found> = found.into_sorted_vec().into_iter().map(|Reverse(found)| found).collect();
    let mut rest = &found[..];
    let mut most = SLICE_ROWS;
    while !rest.is_empty() {
        let slice = &rest[..rest.len().min(most)];
        // a single row is read whatever its size
        let room = if slice.len() > 1 { SLICE_BYTES } else { usize::MAX };
        let Some((rows, errors)) = materialise(snapshot, plan, slice, unpacked, room) else {
            most = slice.len() / 2;
            continue;
        };
        rest = &rest[slice.len()..];
        if let Some(rows) = rows {
            let mut at = 0;
            while at < rows.num_rows() {
                let len = (rows.num_rows() - at).min(ANSWER_ROWS);
                if !emit(Ok(rows.slice(at, len))) {
                    return false;
                }
                at += len;
            }
        }
        if !errors.into_iter().all(|error| emit(Err(error))) {
            return false;
        }
    }
    true
}

/// The columns of the rows that the answer has, in their order; a source that cannot be read is left out and named. `None` if the bodies
/// have more than `room` bytes.
fn materialise(
    snapshot: &Snapshot,
    plan: &Plan,
    found: &[Found],
    unpacked: &Unpacked,
    mut room: usize,
) -> Option<(Option<RecordBatch>, Vec<ScanError>)> {
    let mut by_source: Vec<(Source, u32, usize)> =
        found.iter().enumerate().map(|(position, found)| (found.source, found.row, position)).collect();
    by_source.sort_unstable();
    let (mut batches, mut errors) = (Vec::new(), Vec::new());
    // the place of each answer row among the rows as they are read
    let mut places: Vec<(usize, u32)> = Vec::new();
    let mut read = 0;
    for group in by_source.chunk_by(|a, b| a.0 == b.0) {
        let rows: Vec<u32> = group.iter().map(|(_, row, _)| *row).collect();
        let batch = match group[0].0 {
            Source::Chunk(index) => match &*snapshot.chunks(TABLE)[index] {
                Chunk::Log(log) => {
                    let bytes: usize = rows.iter().map(|row| log.bodies.range(*row as usize).len()).sum();
                    let columns = || log.columns(&plan.answer, Some(&rows)).map_err(ScanError::from);
                    (bytes <= room).then(columns).transpose()
                }
                Chunk::Rows(_) => continue,
            },
            Source::Segment(index) => {
                snapshot.reader.log_rows(&snapshot.segments(TABLE)[index], &rows, plan, unpacked, room)
            }
        };
        match batch {
            Ok(None) => return None,
            Ok(Some(batch)) => {
                room = room.saturating_sub(batch.column_by_name("body").map_or(0, bytes_of));
                places.extend(group.iter().map(|(_, _, position)| *position).zip(read..));
                read += u32::try_from(rows.len()).unwrap_or(u32::MAX);
                batches.push(batch);
            }
            Err(error) => errors.push(error),
        }
    }
    if batches.is_empty() {
        return Some((None, errors));
    }
    places.sort_unstable();
    let order: UInt32Array = places.into_iter().map(|(_, place)| place).collect::<Vec<u32>>().into();
    let rows = concat_batches(&plan.answer, &batches).and_then(|all| take_record_batch(&all, &order));
    match rows {
        Ok(rows) => Some((Some(rows), errors)),
        Err(error) => {
            errors.push(error.into());
            Some((None, errors))
        }
    }
}

/// Bytes of bodies.
fn bytes_of(bodies: &ArrayRef) -> usize {
    bodies.as_binary_opt::<i32>().map_or(0, |bodies| bodies.values().len())
}
