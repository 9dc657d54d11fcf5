//! What keeps the store within its bounds: sealing what is large or old, retention, room on the disk.

mod believed;
pub(crate) mod reserve;

use std::sync::{Arc, PoisonError};

use crate::seal::{self, Sealed, release_log, remove_segments};
use crate::segment::Segment;
use crate::state::{Doomed, Shared};
use crate::stats::Counts;
use crate::{SealError, Store, Table};

pub(crate) use believed::Believed;

const NS: i64 = 1_000_000_000;

/// What one round did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Tables that were sealed.
    pub sealed: Vec<Sealed>,
    /// Segments that retention took out of the catalog.
    pub expired_segments: u64,
    /// Segments that were taken out because the disk, or a table's share of it, was full.
    pub crowded_segments: u64,
    /// Segments whose files were removed.
    pub unlinked_segments: u64,
}

impl Store {
    /// Seals every table now: what was acknowledged before is in segments when this returns.
    ///
    /// # Errors
    /// If files cannot be written; the rows stay searchable and durable.
    pub async fn seal(&self, now_ns: i64) -> Result<Vec<Sealed>, SealError> {
        self.run(move |shared| seal_now(shared, &Table::ALL, now_ns)).await
    }

    /// Seals what is large or old, drops what is past its time, makes room. Call it every second or so, and whenever
    /// [`due`](Self::due) returns. A clock that jumps ahead by hours makes rows old an hour later.
    ///
    /// # Errors
    /// If files cannot be written or removed; the next round tries again.
    pub async fn maintain(&self, now_ns: i64) -> Result<Maintained, SealError> {
        self.run(move |shared| maintain(shared, now_ns)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, SealError> + Send + 'static,
    ) -> Result<T, SealError> {
        let _one_at_a_time = self.maintaining.lock().await;
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || {
            // a caller who gave up does not end the work: the next one waits for it here
            let _running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
            work(&shared)
        })
        .await
        .map_err(SealError::Task)?
    }
}

fn seal_now(shared: &Shared, tables: &[Table], now_ns: i64) -> Result<Vec<Sealed>, SealError> {
    seal::seal(shared, tables, now_ns).inspect_err(|_| Counts::add(&shared.counts.failed_seals, 1))
}

fn maintain(shared: &Shared, now_ns: i64) -> Result<Maintained, SealError> {
    // room first, and first of all what needs no write: a full disk must not keep us from making some
    let unlinked_segments = unlink(shared, now_ns, false);
    let mut done = Maintained { unlinked_segments, ..Maintained::default() };
    let ended = drop_and_seal(shared, now_ns, &mut done);
    release_log(shared);
    note_room(shared)?;
    ended?;
    reserve::keep(shared);
    Ok(done)
}

fn drop_and_seal(shared: &Shared, now_ns: i64, done: &mut Maintained) -> Result<(), SealError> {
    let believed_ns = shared.believed().at(now_ns);
    let expired = expired(shared, believed_ns);
    done.expired_segments = expired.len() as u64;
    remove_segments(shared, &expired, now_ns)?;
    let crowded = crowded(shared)?;
    done.crowded_segments = crowded.len() as u64;
    remove_segments(shared, &crowded, now_ns)?;
    if !crowded.is_empty() {
        done.unlinked_segments += unlink(shared, now_ns, true);
    }
    let tables = due(shared, now_ns);
    if !tables.is_empty() {
        done.sealed = seal_now(shared, &tables, now_ns)?;
    }
    Ok(())
}

/// Tables that are large, old, or pin a WAL that has grown.
fn due(shared: &Shared, now_ns: i64) -> Vec<Table> {
    let state = shared.state();
    let wal: u64 = state.wal.iter().map(|file| file.bytes).sum();
    if wal >= shared.limits.wal_soft_bytes {
        return Table::ALL.to_vec();
    }
    let age = i64::try_from(shared.limits.seal_age_s).unwrap_or(i64::MAX).saturating_mul(NS);
    let head_is_full = state.head.bytes() >= shared.limits.head_bytes;
    let due = |table: &Table| {
        let head = state.head.table(*table);
        let old = head.oldest_ns.is_some_and(|oldest| now_ns.saturating_sub(oldest) >= age);
        old || shared.is_large(&state, *table) || (head_is_full && head.rows > 0)
    };
    Table::ALL.into_iter().filter(due).collect()
}

/// Segments whose newest row is past its table's retention.
fn expired(shared: &Shared, now_ns: i64) -> Vec<Arc<Segment>> {
    let state = shared.state();
    let mut expired = Vec::new();
    for table in Table::ALL {
        let keep = i64::try_from(shared.limits.retention(table).age_s).unwrap_or(i64::MAX).saturating_mul(NS);
        let old = |segment: &&Arc<Segment>| now_ns.saturating_sub(segment.times().1) > keep;
        expired.extend(state.segments[table.index()].iter().filter(old).map(Arc::clone));
    }
    expired
}

/// What a store keeps on a disk that others fill, bytes.
const KEPT_BYTES: u64 = 1 << 30;

/// The oldest segments of tables that take more than their share, and the oldest of all while the disk is too full. A
/// store that is small is not what fills a disk: it keeps its rows until there is no room even for new ones.
fn crowded(shared: &Shared) -> Result<Vec<Arc<Segment>>, SealError> {
    let (total, free) = shared.space()?;
    let state = shared.state();
    let mut crowded: Vec<Arc<Segment>> = Vec::new();
    let mut rest: Vec<Arc<Segment>> = Vec::new();
    for table in Table::ALL {
        let mut segments: Vec<Arc<Segment>> = state.segments[table.index()].iter().map(Arc::clone).collect();
        segments.sort_by_key(|segment| segment.times().1);
        let mut bytes: u64 = segments.iter().map(|segment| segment.file_bytes()).sum();
        for segment in segments {
            if bytes > shared.limits.retention(table).max_bytes {
                bytes -= segment.file_bytes();
                crowded.push(segment);
            } else {
                rest.push(segment);
            }
        }
    }
    let doomed: u64 = state.doomed.iter().map(|doomed| doomed.segment.file_bytes()).sum();
    let leaving = doomed + crowded.iter().map(|segment| segment.file_bytes()).sum::<u64>();
    let wal: u64 = state.wal.iter().map(|file| file.bytes).sum();
    let mut own = state.unknown_bytes + wal + rest.iter().map(|segment| segment.file_bytes()).sum::<u64>();
    let mut used = total.saturating_sub(free).saturating_sub(leaving);
    let own_limit = shared.limits.max_disk_bytes / 100 * 85;
    let used_limit = total / 100 * u64::from(shared.limits.disk_drop_percent);
    let refused = total / 100 * u64::from(shared.limits.disk_refuse_percent);
    rest.sort_by_key(|segment| segment.times().1);
    for segment in rest {
        let is_tight = used > refused || used > used_limit && own > KEPT_BYTES;
        if own <= own_limit && !is_tight {
            break;
        }
        own = own.saturating_sub(segment.file_bytes());
        used = used.saturating_sub(segment.file_bytes());
        crowded.push(segment);
    }
    Ok(crowded)
}

/// Removes files of segments that left the catalog, once no snapshot holds them; at once where room is short.
fn unlink(shared: &Shared, now_ns: i64, short: bool) -> u64 {
    let wait = i64::try_from(shared.limits.delete_after_s).unwrap_or(i64::MAX).saturating_mul(NS);
    let ready: Vec<Doomed> = {
        let mut state = shared.state();
        let ready = |doomed: &mut Doomed| {
            let waited = short || now_ns.saturating_sub(doomed.since_ns) >= wait;
            waited && Arc::strong_count(&doomed.segment) == 1
        };
        state.doomed.extract_if(.., ready).collect()
    };
    let mut unlinked = 0;
    for doomed in ready {
        let folder = &doomed.segment.folder;
        match shared.disk.remove_dir_all(folder) {
            Ok(()) => unlinked += 1,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                // removed at the next start otherwise: the catalog does not know it any more
                tracing::warn!(%error, folder = %folder.display(), "segment files stay");
            }
        }
    }
    unlinked
}

fn note_room(shared: &Shared) -> Result<(), SealError> {
    let (total, free) = shared.space()?;
    let mut state = shared.state();
    let segments: u64 =
        state.segments.iter().flat_map(|list| list.iter()).map(|segment| segment.file_bytes()).sum();
    let own = segments + state.unknown_bytes + state.wal.iter().map(|file| file.bytes).sum::<u64>();
    let used_limit = total / 100 * u64::from(shared.limits.disk_refuse_percent);
    let full = total.saturating_sub(free) >= used_limit || own >= shared.limits.max_disk_bytes;
    if full != state.disk_full {
        tracing::warn!(full, total, free, own, "room on the disk changed");
    }
    state.disk_full = full;
    Ok(())
}
