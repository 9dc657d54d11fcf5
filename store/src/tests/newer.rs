//! A store that a newer release wrote to, with a table that this one does not know: rolled back, and forward again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::basics::everything;
use super::fixture::{NOW, SECOND, batch, bodies, collect, limits, lines, newest, open, open_with};
use crate::catalog::Edit;
use crate::segment::META;
use crate::{ScanRequest, Store, Table};

/// A table that no release of this kind has.
const NEWER: &str = "newer_than_this";

/// Renames a table, in the catalog and on disk: what only the other release knows becomes known, or the reverse.
fn rename(store: &Arc<Store>, from: &str, to: &str) -> PathBuf {
    let mut manifest = store.shared.manifest();
    let old: Vec<_> =
        manifest.contents().segments.iter().filter(|entry| entry.table == from).cloned().collect();
    let [old] = <[_; 1]>::try_from(old).unwrap();
    let mut new = old.clone();
    to.clone_into(&mut new.table);
    new.path = old.path.replace(&format!("/{from}/"), &format!("/{to}/"));
    let (was, is) = (store.shared.root.join(&old.path), store.shared.root.join(&new.path));
    fs::create_dir_all(is.parent().unwrap()).unwrap();
    fs::rename(was, &is).unwrap();
    fs::write(is.join(META), serde_json::to_vec(&new).unwrap()).unwrap();
    let next_lsn = manifest.contents().next_lsn;
    let remove = vec![(old.table, old.path)];
    manifest.commit(Edit { add: vec![new], remove, next_lsn, ..Edit::default() }).unwrap();
    is
}

async fn flows(store: &Store) -> usize {
    let batches = collect(store.snapshot().scan(Table::Flow, ScanRequest::default()).unwrap()).await;
    batches.iter().map(|batch| batch.num_rows()).sum()
}

async fn written(dir: &Path) -> PathBuf {
    let store = open(dir);
    store.append(&batch("n", 1, 1, &everything(NOW)), NOW).await.unwrap();
    store.append(&batch("n", 1, 2, &lines(NOW, &["before"])), NOW).await.unwrap();
    store.seal(NOW).await.unwrap();
    assert_eq!(flows(&store).await, 1);
    let folder = rename(&store, "flow", NEWER);
    store.close().await;
    folder
}

#[tokio::test]
async fn a_table_of_a_newer_release_is_kept_and_comes_back_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let folder = written(dir.path()).await;
    for start in 0..2 {
        let (store, recovered) = open_with(dir.path(), limits()).unwrap();
        assert_eq!((recovered.damaged.len(), recovered.rebuilt.len()), (0, 0), "{recovered:?}");
        let [told] = &recovered.unknown_tables[..] else { panic!("{recovered:?}") };
        assert!(told.contains(NEWER) && told.contains("1 rows in 1 segments"), "{told}");
        assert!(store.shared.state().unknown_bytes > 0);
        assert!(bodies(&store.snapshot(), newest(10)).await.contains(&"before".to_owned()));
        assert_eq!(flows(&store).await, 0);
        // it goes on: rows come, are sealed, merged, and grow old
        store.append(&batch("n", 2, start + 1, &lines(NOW, &["after"])), NOW).await.unwrap();
        store.seal(NOW).await.unwrap();
        while store.compact(NOW + 3 * 3_600 * SECOND).await.unwrap().is_some() {}
        if start == 1 {
            for hour in 0..=1 {
                store.maintain(NOW + (400 * 24 + hour) * 3_600 * SECOND).await.unwrap();
            }
            assert_eq!(
                bodies(&store.snapshot(), newest(10)).await,
                [""; 0],
                "what is known has its retention"
            );
        }
        assert!(folder.join("data.parquet").try_exists().unwrap());
        store.close().await;
    }
    let store = open(dir.path());
    rename(&store, NEWER, "flow");
    store.close().await;
    let (store, recovered) = open_with(dir.path(), limits()).unwrap();
    assert!(recovered.unknown_tables.is_empty() && recovered.damaged.is_empty(), "{recovered:?}");
    assert_eq!(flows(&store).await, 1);
    store.close().await;
}

#[tokio::test]
async fn without_a_catalog_it_is_found_again_and_not_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let folder = written(dir.path()).await;
    fs::remove_dir_all(dir.path().join("catalog")).unwrap();
    let (store, recovered) = open_with(dir.path(), limits()).unwrap();
    assert_eq!(recovered.unknown_tables.len(), 1, "{recovered:?}");
    assert!(recovered.rebuilt.iter().any(|line| line.contains(NEWER)), "{recovered:?}");
    assert!(folder.join("data.parquet").try_exists().unwrap());
    store.close().await;
    let (store, recovered) = open_with(dir.path(), limits()).unwrap();
    assert_eq!((recovered.unknown_tables.len(), recovered.rebuilt.len()), (1, 0), "{recovered:?}");
    store.close().await;
}
