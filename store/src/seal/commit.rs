//! Making a seal or a removal true: manifest first, then memory, then files that nobody needs any more.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::catalog::{CommitError, Edit};
use crate::segment::{Entry, Segment};
use crate::state::{Doomed, Shared, State};
use crate::stats::Counts;
use crate::{SealError, Table};

/// Adds what was sealed and takes it out of the head, in one step for every snapshot.
pub(super) fn sealed(
    shared: &Shared,
    tables: &[Table],
    entries: Vec<Entry>,
    through: i64,
    now_ns: i64,
) -> Result<(), SealError> {
    let rows = entries.iter().map(|entry| entry.rows).sum();
    let segments = entries.iter().filter_map(|entry| Segment::new(entry.clone(), &shared.root)).map(Arc::new);
    let segments: Vec<Arc<Segment>> = segments.collect();
    let (dedupe, through_all) = {
        let mut state = shared.state();
        state.dedupe.expire(now_ns);
        (state.dedupe.entries(), state.last_lsn)
    };
    let edit = Edit {
        add: entries,
        sealed_through: tables
            .iter()
            .map(|table| (table.name().to_owned(), through))
            .collect::<BTreeMap<_, _>>(),
        next_lsn: through_all + 1,
        dedupe: Some(dedupe),
        ..Edit::default()
    };
    commit(shared, edit)?;
    let unpinned = {
        let mut state = shared.state();
        for table in tables {
            state.sealed_through[table.index()] = through;
            state.head.table_mut(*table).thaw();
        }
        for segment in segments {
            if let Some(table) = segment.entry.table() {
                let mut list = (*state.segments[table.index()]).clone();
                list.push(segment);
                state.segments[table.index()] = Arc::new(list);
            }
        }
        state.version += 1;
        take_unpinned(&mut state, through_all)
    };
    Counts::add(&shared.counts.seals, 1);
    Counts::add(&shared.counts.sealed_rows, rows);
    for path in unpinned {
        if let Err(error) = shared.disk.remove_file(&path) {
            tracing::warn!(%error, file = %path.display(), "log file stays until the next start");
        }
    }
    Ok(())
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
    let gone = |segment: &Segment| (segment.entry.table.clone(), segment.entry.path.clone());
    let remove: Vec<_> = segments.iter().map(|segment| gone(segment)).collect();
    commit(shared, Edit { remove: remove.clone(), ..Edit::default() })?;
    let mut state = shared.state();
    for list in &mut state.segments {
        let kept: Vec<_> =
            list.iter().filter(|segment| !remove.contains(&gone(segment))).map(Arc::clone).collect();
        if kept.len() != list.len() {
            *list = Arc::new(kept);
        }
    }
    state.version += 1;
    let doomed = segments.iter().map(|segment| Doomed { segment: Arc::clone(segment), since_ns: now_ns });
    state.doomed.extend(doomed);
    Counts::add(&shared.counts.dropped_segments, segments.len() as u64);
    Counts::add(&shared.counts.dropped_rows, segments.iter().map(|segment| segment.rows()).sum());
    Ok(())
}

fn commit(shared: &Shared, edit: Edit) -> Result<(), SealError> {
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

/// WAL files whose every row is in a segment and whose every batch is in the catalog's list of what is stored.
fn take_unpinned(state: &mut State, remembered_through: i64) -> Vec<PathBuf> {
    let sealed_through = state.sealed_through;
    let current = state.wal.iter().map(|file| file.first_lsn).max();
    let unpinned = |file: &crate::state::WalFile| {
        Some(file.first_lsn) != current
            && file.last_lsn <= remembered_through
            && file.tables.iter().zip(sealed_through).all(|(last, sealed)| *last <= sealed)
    };
    let paths = state.wal.iter().filter(|file| unpinned(file)).map(|file| file.path.clone()).collect();
    state.wal.retain(|file| !unpinned(file));
    paths
}
