//! A few MiB that are given back when the disk is full, so that the catalog can still say what was dropped.

use std::io::{self, Write as _};
use std::path::Path;

use crate::disk::Disk;
use crate::state::Shared;

const FILE: &str = "reserve";
const BYTES: usize = 4 << 20;

/// Makes the reserve if there is none. Without room there is none either: the next round tries again.
pub(super) fn keep(shared: &Shared) {
    let path = shared.root.join(FILE);
    if shared.state().disk_full || path.try_exists().unwrap_or(false) {
        return;
    }
    if let Err(error) = write(&*shared.disk, &path) {
        tracing::debug!(%error, "no room for a reserve");
        give_back(&*shared.disk, &shared.root);
    }
}

fn write(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let mut file = disk.create(path)?;
    // no zeros: they would take no room on some file systems
    let piece: Vec<u8> = (0..=u8::MAX).cycle().take(64 << 10).collect();
    for _ in 0..BYTES / piece.len() {
        file.write_all(&piece)?;
    }
    file.sync()
}

/// Gives the reserve back to the disk; false if there was none.
pub(crate) fn give_back(disk: &dyn Disk, root: &Path) -> bool {
    disk.remove_file(&root.join(FILE)).is_ok()
}
