//! A catalog of which a part cannot be read: the damaged file is kept, the segments are asked, and what is lost is named.

use std::path::{Path, PathBuf};

use super::io;
use crate::catalog::{self, Loaded};
use crate::disk::{Disk, write_whole};
use crate::{OpenError, wal};

/// Segments that an answer names.
const NAMED: usize = 20;

/// What became of it.
#[derive(Debug, Default)]
pub(super) struct Mended {
    pub(super) damaged: Vec<String>,
    pub(super) rebuilt: Vec<String>,
}

/// Completes what was loaded, if something may be missing.
pub(super) fn catalog(
    disk: &dyn Disk,
    dir: &Path,
    loaded: &mut Loaded,
    folders: &[PathBuf],
) -> Result<Mended, OpenError> {
    if loaded.path.is_some() && !loaded.is_uncertain() {
        return Ok(Mended::default());
    }
    let first_lsn = wal::oldest(&dir.join("wal"))?;
    let rebuilt = catalog::rebuild(dir, loaded, folders, first_lsn);
    let is_missing = loaded.path.is_none() && !folders.is_empty();
    let mut mended = Mended { damaged: rebuilt.gone, rebuilt: loaded.damage.clone() };
    mended.rebuilt.extend(is_missing.then(|| "the catalog is missing".to_owned()));
    let is_damaged = !mended.rebuilt.is_empty();
    for found in [&rebuilt.doubled, &rebuilt.taken] {
        mended.rebuilt.extend(found.iter().take(NAMED).cloned());
        if let Some(more) = found.len().checked_sub(NAMED + 1) {
            mended.rebuilt.push(format!("and {} more", more + 1));
        }
    }
    if !is_damaged {
        // an edit at the end was not whole: it never happened, or its segments speak for it
        return Ok(mended);
    }
    if loaded.dedupe_is_old || loaded.path.is_none() {
        let detail = "which batches came before the log's first is not known any more: one that is sent again is stored again";
        mended.damaged.push(detail.to_owned());
    }
    for path in loaded.passed_over.iter().chain(&loaded.path) {
        let aside = path.with_extension("corrupt");
        let bytes = std::fs::read(path).map_err(io("read", path))?;
        write_whole(disk, &aside, &bytes).map_err(io("set aside", &aside))?;
    }
    for folder in &rebuilt.unknown {
        mended.damaged.push(format!("{} is set aside: what it holds is unknown", folder.display()));
        set_aside(disk, dir, folder)?;
    }
    Ok(mended)
}

/// Moves a folder out of `seg`, where it would be removed for want of an entry.
fn set_aside(disk: &dyn Disk, dir: &Path, folder: &Path) -> Result<(), OpenError> {
    let corrupt = dir.join("corrupt");
    disk.create_dir_all(&corrupt).map_err(io("make", &corrupt))?;
    let below = folder.strip_prefix(dir.join("seg")).unwrap_or(folder);
    let name: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
    let place = corrupt.join(name.join("_"));
    disk.rename(folder, &place).map_err(io("set aside", folder))?;
    disk.sync_dir(&corrupt).map_err(io("sync", &corrupt))
}
