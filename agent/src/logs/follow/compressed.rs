//! Rotated files that are compressed by now. They are not read: of a file that was not read before, that is a loss.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::log::Log;
use super::rotated::Sibling;

impl Log {
    /// How many compressed files there are that were not there at the last look and that `is_wanted` takes. One that
    /// was just made, and stands beside the file that it was made of, is not among them: that file can still be read.
    pub(super) fn newly_compressed(
        &mut self,
        rotated: &[Sibling],
        compressed: &[Sibling],
        is_wanted: impl Fn(&Sibling) -> bool,
    ) -> usize {
        let plain: BTreeSet<&Path> = rotated.iter().map(|file| &*file.path).collect();
        let known = std::mem::take(&mut self.compressed);
        self.compressed = compressed.iter().map(Sibling::identity).collect();
        let is_new = |file: &&Sibling| {
            !known.contains(&file.identity())
                && !plain.contains(&*file.path.with_extension(""))
                && is_wanted(file)
        };
        compressed.iter().filter(is_new).count()
    }

    /// How many of these new compressed files were not made of one of ours. A file of ours explains one of them, once,
    /// when its last name is gone; it is removed after the compressed one is made, so it may be seen one look earlier.
    pub(super) fn explain_compressed(&mut self, count: usize) -> usize {
        let mut unexplained = count;
        for file in self.lingering.iter_mut().chain(&mut self.files) {
            if unexplained == 0 {
                break;
            }
            if !file.is_compressed && file.tail.metadata().is_ok_and(|metadata| metadata.nlink() == 0) {
                file.is_compressed = true;
                unexplained -= 1;
            }
        }
        unexplained
    }
}
