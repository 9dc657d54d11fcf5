//! When the cgroup tree is walked: at start, after lost events, while a row waits for a name, and each second where no
//! cgroup events come.

use std::path::PathBuf;
use std::time::Duration;

use crate::identity::Identities;
use crate::identity::walk::walk;
use crate::window::sample::CgroupEvent;

/// Without events: how young a cgroup can be and still be seen.
const SCAN: Duration = Duration::from_secs(1);
/// With events: a walk now and then mends what they may have missed.
const MEND: Duration = Duration::from_secs(60);
/// Rows that wait ask for a walk, but not more often than this.
const HURRY: Duration = Duration::from_millis(500);

/// The tree and when it was walked last.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    walked_at: Option<Duration>,
}

impl Tree {
    /// The hierarchy's mount point.
    pub fn new(root: PathBuf) -> Self {
        Self { root, walked_at: None }
    }

    pub(super) fn is_due(&self, now: Duration, is_lost: bool, has_events: bool, is_waiting: bool) -> bool {
        let Some(walked_at) = self.walked_at else { return true };
        let age = now.saturating_sub(walked_at);
        is_lost || (is_waiting && age >= HURRY) || age >= if has_events { MEND } else { SCAN }
    }

    /// Walks it and brings the table in line; answers what has changed.
    pub(super) fn walk(&mut self, identities: &mut Identities, now: Duration) -> Vec<CgroupEvent> {
        self.walked_at = Some(now);
        match walk(&self.root) {
            Ok(found) => identities.reconcile(&found, now),
            Err(error) => {
                tracing::warn!(root = %self.root.display(), %error, "cgroup tree not walked");
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Tree;
    use crate::identity::{Identities, NodeName};

    #[test]
    fn a_walk_is_due_by_age_and_need() {
        let root = tempfile::tempdir().unwrap();
        let mut tree = Tree::new(root.path().to_path_buf());
        assert!(tree.is_due(Duration::ZERO, false, true, false));
        assert_eq!(tree.walk(&mut Identities::new(NodeName::default(), 1), Duration::ZERO).len(), 1);
        let at = Duration::from_millis;
        assert!(!tree.is_due(at(900), false, false, false) && tree.is_due(at(1000), false, false, false));
        assert!(!tree.is_due(at(1000), false, true, false) && tree.is_due(at(60_000), false, true, false));
        assert!(!tree.is_due(at(499), false, true, true) && tree.is_due(at(500), false, true, true));
        assert!(tree.is_due(at(1), true, true, false));
    }
}
