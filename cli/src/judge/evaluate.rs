//! Judges every recorded case under a directory, on several threads, in an order that does not depend on them.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use effects::ingredient::Ingredient;

use super::answers;
use super::read;

/// Directories under `root` (or `root` itself) that hold a file of this name, sorted.
pub(crate) fn find(root: &Path, name: &str) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                todo.push(entry.path());
            } else if entry.file_name() == name {
                found.push(dir.clone());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What came of one case: its lines, or why there are none.
pub(crate) type Outcome<T> = anyhow::Result<T>;

/// Runs `work` on every case of `dirs` on `threads` threads; `progress` is called after each with how many are
/// done. The outcomes are in the order of `dirs`.
pub(crate) fn each<T: Send>(
    dirs: &[PathBuf],
    threads: usize,
    work: impl Fn(&Path) -> Outcome<T> + Sync,
    progress: impl Fn(usize) + Sync,
) -> Vec<Outcome<T>> {
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let outcomes: Vec<Mutex<Option<Outcome<T>>>> = dirs.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, dirs.len().max(1)) {
            scope.spawn(|| {
                while let Some(i) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|i| *i < dirs.len()) {
                    let outcome = work(&dirs[i]);
                    if let Ok(mut slot) = outcomes[i].lock() {
                        *slot = Some(outcome);
                    }
                    progress(done.fetch_add(1, Ordering::Relaxed) + 1);
                }
            });
        }
    });
    let lost = || Err(anyhow::anyhow!("the thread that judged this case ended early"));
    outcomes.into_iter().map(|slot| slot.into_inner().ok().flatten().unwrap_or_else(lost)).collect()
}

/// The answer lines of one case.
pub(crate) fn answer(dir: &Path, left_out: Option<Ingredient>) -> Outcome<Vec<String>> {
    let case = read::case(dir)?;
    Ok(answers::lines(&case, &effects::judge::judge_without(&case, left_out))?)
}
