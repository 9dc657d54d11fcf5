//! Making a seal or a removal true: manifest first, then memory, then files that nobody needs any more.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::files::discard;
use crate::catalog::{CommitError, Edit};
use crate::disk::is_full;
use crate::maintain::reserve;
use crate::registry;
use crate::segment::{Entry, Segment};
use crate::state::{Doomed, Shared, State};
use crate::stats::Counts;
use crate::{SealError, Table};

/// Adds what was sealed and takes it out of the head, in one step for every snapshot.
pub(super) fn sealed(
    shared: &Shared,
    tables: &[Table],
    entries: &[Entry],
    through: i64,
    now_ns: i64,
) -> Result<(), SealError> {
    let rows = entries.iter().map(|entry| entry.rows).sum();
    let segments = entries.iter().filter_map(|entry| Segment::new(entry.clone(), &shared.root)).map(Arc::new);
    let segments: Vec<Arc<Segment>> = segments.collect();
    let (dedupe, through_all) = {
        let mut state = shared.state();
        // what retention does not believe is no reason to forget either
        state.dedupe.expire(shared.believed().last().map_or(now_ns, |believed| believed.min(now_ns)));
        (state.dedupe.entries(), state.last_lsn)
    };
    let edit = Edit {
        add: entries.to_vec(),
        sealed_through: tables
            .iter()
            .map(|table| (table.name().to_owned(), through))
            .collect::<BTreeMap<_, _>>(),
        next_lsn: through_all + 1,
        dedupe: Some(dedupe),
        ..Edit::default()
    };
    commit(shared, edit)?;
    {
        let mut state = shared.state();
        for table in tables {
            // while the WAL is read, a table may be sealed further than that has come
            let known = &mut state.sealed_through[table.index()];
            *known = (*known).max(through);
            state.head.table_mut(*table).thaw();
        }
        for segment in segments {
            if let Some(table) = segment.entry.table() {
                Arc::make_mut(&mut state.segments[table.index()]).push(segment);
            }
        }
        state.version += 1;
        state.remembered_through = through_all;
    }
    Counts::add(&shared.counts.seals, 1);
    Counts::add(&shared.counts.sealed_rows, rows);
    release_log(shared);
    if tables.contains(&Table::Log) {
        registry::catch_up(shared);
    }
    Ok(())
}

/// Removes WAL files that nothing needs any more.
pub(crate) fn release_log(shared: &Shared) {
    let unpinned = take_unpinned(&mut shared.state());
    for path in unpinned {
        if let Err(error) = shared.disk.remove_file(&path) {
            tracing::warn!(%error, file = %path.display(), "log file stays until the next start");
        }
    }
}

/// Takes segments out of the catalog; their files go when no snapshot holds them and their time has come.
pub(crate) fn remove_segments(
    shared: &Shared,
    segments: &[Arc<Segment>],
    now_ns: i64,
) -> Result<(), SealError> {
    if segments.is_empty() {
        return Ok(());
    }
    let remove: Vec<_> = segments.iter().map(|segment| name(segment)).collect();
    let mut gone_before: BTreeMap<String, i64> = BTreeMap::new();
    for segment in segments {
        let known = gone_before.entry(segment.entry.table.clone()).or_insert(i64::MIN);
        *known = (*known).max(segment.times().1.saturating_add(1));
    }
    commit_removal(shared, &Edit { remove, gone_before: gone_before.clone(), ..Edit::default() })?;
    shared.reader.forget(segments);
    let mut state = shared.state();
    for (table, before) in gone_before {
        if let Some(table) = Table::from_name(&table) {
            let known = &mut state.gone_before[table.index()];
            *known = (*known).max(before);
        }
    }
    state.drop_segments(segments, now_ns);
    state.version += 1;
    shared.readers.dropped(segments);
    Counts::add(&shared.counts.dropped_segments, segments.len() as u64);
    Counts::add(&shared.counts.dropped_rows, segments.iter().map(|segment| segment.rows()).sum());
    Ok(())
}

/// Puts one segment in the place of several that have the same rows, in one step for every snapshot; nothing happens
/// (false) if one of them is not listed any more. The caller holds `running`.
pub(crate) fn replace_segments(
    shared: &Shared,
    inputs: &[Arc<Segment>],
    entry: &Entry,
    now_ns: i64,
) -> Result<bool, SealError> {
    let placed = Segment::new(entry.clone(), &shared.root).zip(entry.table());
    let Some((segment, table)) = placed else { return Ok(false) };
    let all_listed = {
        let state = shared.state();
        let list = &state.segments[table.index()];
        inputs.iter().all(|input| list.iter().any(|listed| Arc::ptr_eq(listed, input)))
    };
    if !all_listed {
        discard(shared, &segment.folder);
        return Ok(false);
    }
    let remove = inputs.iter().map(|segment| name(segment)).collect();
    let edit = Edit { add: vec![entry.clone()], remove, ..Edit::default() };
    commit(shared, edit).inspect_err(|_| {
        // after a sync that failed nobody knows whether the catalog has it: then it stays
        if shared.state().stopped.is_none() {
            discard(shared, &segment.folder);
        }
    })?;
    shared.reader.forget(inputs);
    let mut state = shared.state();
    state.drop_segments(inputs, now_ns);
    Arc::make_mut(&mut state.segments[table.index()]).push(Arc::new(segment));
    state.version += 1;
    Counts::add(&shared.counts.compactions, 1);
    Counts::add(&shared.counts.compacted_segments, inputs.len() as u64);
    Counts::add(&shared.counts.compacted_rows, entry.rows);
    Ok(true)
}

/// What the catalog calls a segment.
fn name(segment: &Segment) -> (String, String) {
    (segment.entry.table.clone(), segment.entry.path.clone())
}

impl State {
    /// Takes segments out of the lists; their files wait for snapshots that hold them.
    fn drop_segments(&mut self, segments: &[Arc<Segment>], now_ns: i64) {
        for list in &mut self.segments {
            if list.iter().any(|listed| segments.iter().any(|gone| Arc::ptr_eq(listed, gone))) {
                Arc::make_mut(list).retain(|listed| !segments.iter().any(|gone| Arc::ptr_eq(listed, gone)));
            }
        }
        let doomed = segments.iter().map(|segment| Doomed { segment: Arc::clone(segment), since_ns: now_ns });
        self.doomed.extend(doomed);
    }
}

/// On a full disk even this needs a little room.
fn commit_removal(shared: &Shared, edit: &Edit) -> Result<(), SealError> {
    match commit(shared, edit.clone()) {
        Err(SealError::Io { source, .. })
            if is_full(&source)
                && shared.state().stopped.is_none()
                && reserve::give_back(&*shared.disk, &shared.root) =>
        {
            commit(shared, edit.clone())
        }
        committed => committed,
    }
}

fn commit(shared: &Shared, mut edit: Edit) -> Result<(), SealError> {
    edit.believed_ns = shared.believed().last();
    let path = shared.root.join("catalog");
    match shared.manifest().commit(edit) {
        Ok(()) => Ok(()),
        Err(CommitError::Write(source)) => Err(SealError::Io { operation: "write", path, source }),
        Err(CommitError::Unknown(source)) => {
            shared.stop(format!("sync the catalog: {source}"));
            Err(SealError::Io { operation: "sync", path, source })
        }
    }
}

/// WAL files whose every row is in a segment and whose every batch is in the catalog's list of what is stored. The newest
/// is among them when nothing is being written to it: the next batch begins another.
fn take_unpinned(state: &mut State) -> Vec<PathBuf> {
    let State { sealed_through, remembered_through, .. } = *state;
    let newest = state.wal.iter().map(|file| file.first_lsn).max();
    let writing = state.wal_writing;
    let unpinned = |file: &crate::state::WalFile| {
        !(writing && Some(file.first_lsn) == newest)
            && file.last_lsn <= remembered_through
            && file.tables.iter().zip(sealed_through).all(|(last, sealed)| *last <= sealed)
    };
    let gone: Vec<_> = state.wal.extract_if(.., |file| unpinned(file)).collect();
    let given_up = gone.iter().map(|file| file.first_lsn).max();
    state.wal_given_up = state.wal_given_up.max(given_up.unwrap_or(-1));
    gone.into_iter().map(|file| file.path).collect()
}
