//! What is sealed while the log is read again: as much as was read, however far the catalog is.

use super::basics::everything;
use super::fixture::{NOW, batch, limits, open_with};
use crate::disk::faulty::Random;
use crate::{Limits, Store, Table};

/// Batches of one life; each has a row of every table.
const BATCHES: u64 = 120;
/// Lives after the first.
const RESTARTS: usize = 2;

fn rows(store: &Store) -> Vec<(Table, u64)> {
    let stats = store.stats();
    Table::ALL
        .into_iter()
        .zip(&stats.tables)
        .map(|(table, known)| (table, known.head_rows as u64 + known.segment_rows))
        .collect()
}

#[tokio::test]
async fn tables_that_are_sealed_at_different_times_are_whole_after_restarts_with_little_memory() {
    let mut seals_of_replays = 0;
    for seed in 3..9 {
        let mut random = Random(seed);
        let dir = tempfile::tempdir().unwrap();
        // tables reach this at different times, since their rows are of different sizes
        let limits = Limits {
            seal_table_bytes: 2_000 + usize::try_from(random.below(20_000)).unwrap(),
            seal_log_rows: 40 + usize::try_from(random.below(100)).unwrap(),
            ..limits()
        };
        let (store, _) = open_with(dir.path(), limits).unwrap();
        for seq in 0..BATCHES {
            store.append(&batch("n", 1, seq, &everything(NOW)), NOW).await.unwrap();
            if random.below(10) == 0 {
                store.maintain(NOW).await.unwrap();
            }
        }
        let before = rows(&store);
        assert!(before.iter().all(|(_, rows)| *rows >= BATCHES), "{before:?}");
        let in_head: usize = store.stats().tables.iter().map(|table| table.head_bytes).sum();
        store.close().await;
        drop(store);
        // as a machine of less memory, or one whose rows take more room once they are read again
        let less = Limits { head_bytes: in_head, ..limits };
        for _ in 0..RESTARTS {
            let (store, recovered) = open_with(dir.path(), less).unwrap();
            assert!(recovered.damaged.is_empty(), "seed {seed}: {recovered:?}");
            assert_eq!(rows(&store), before, "seed {seed}");
            assert!(
                store
                    .append(&batch("n", 1, BATCHES - 1, &everything(NOW)), NOW)
                    .await
                    .is_ok_and(|known| known.repeated)
            );
            seals_of_replays += store.stats().counters.seals;
            store.close().await;
        }
    }
    assert!(seals_of_replays > 0, "nothing was sealed while a log was read");
}
