//! When the cgroup tree is walked: at start, after lost events, while a row waits for a name, and each second where no
//! cgroup events come.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::identity::Identities;
use crate::identity::walk::{Walk, walk};
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
    /// What the last walk did not see; before the first one that is everything.
    unread: Vec<String>,
}

/// What a walk has changed.
#[derive(Debug)]
pub(super) struct Mended {
    pub(super) event: CgroupEvent,
    /// Born since the last walk, so all that it used is ours. What the last walk could not see may be older.
    pub(super) is_new: bool,
}

impl Tree {
    /// The hierarchy's mount point.
    pub fn new(root: PathBuf) -> Self {
        Self { root, walked_at: None, unread: vec![String::new()] }
    }

    pub(super) fn is_due(&self, now: Duration, is_lost: bool, has_events: bool, is_waiting: bool) -> bool {
        let Some(walked_at) = self.walked_at else { return true };
        let age = now.saturating_sub(walked_at);
        is_lost || (is_waiting && age >= HURRY) || age >= if has_events { MEND } else { SCAN }
    }

    /// Walks it and brings the table in line; answers what has changed.
    pub(super) fn walk(&mut self, identities: &mut Identities, now: Duration) -> Vec<Mended> {
        self.walked_at = Some(now);
        let walk = match walk(&self.root) {
            Ok(walk) => walk,
            Err(error) => {
                tracing::warn!(root = %self.root.display(), %error, "cgroup tree not walked");
                self.unread = vec![String::new()];
                return Vec::new();
            }
        };
        if !walk.unread.is_empty() {
            tracing::warn!(
                directories = walk.unread.len(),
                first = walk.unread.first(),
                "cgroup tree walked in part"
            );
        }
        self.mend(walk, identities, now)
    }

    fn mend(&mut self, walk: Walk, identities: &mut Identities, now: Duration) -> Vec<Mended> {
        let seen_before = Walk { found: Vec::new(), unread: std::mem::take(&mut self.unread) };
        // what rises from the dead was buried alive, and its counters were billed until then
        let dead: HashSet<u64> =
            walk.found.iter().map(|found| found.id).filter(|id| identities.is_removed(*id)).collect();
        let events = identities.reconcile(&walk, now);
        self.unread = walk.unread;
        let mended = |event| {
            let is_new = match &event {
                CgroupEvent::Made { id, path } => !dead.contains(id) && !seen_before.missed(path),
                _ => false,
            };
            Mended { event, is_new }
        };
        events.into_iter().map(mended).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Mended, Tree};
    use crate::identity::walk::{Found, Walk};
    use crate::identity::{Identities, NodeName};
    use crate::window::sample::CgroupEvent;

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

    #[test]
    fn only_what_the_last_walk_could_have_seen_is_born_new() {
        let mut tree = Tree::new("/none".into());
        let mut table = Identities::new(NodeName::default(), 1);
        let mut walk = |found: &[(u64, &str)], unread: &[&str]| {
            let found = found.iter().map(|(id, path)| Found { id: *id, path: (*path).to_owned() }).collect();
            let unread = unread.iter().map(|path| (*path).to_owned()).collect();
            let mended = tree.mend(Walk { found, unread }, &mut table, Duration::ZERO);
            let mut born: Vec<(u64, bool)> = Vec::new();
            for Mended { event, is_new } in mended {
                if let CgroupEvent::Made { id, .. } = event {
                    born.push((id, is_new));
                }
            }
            born
        };
        // before the first walk nothing was seen; in it `/b` could not be listed
        assert_eq!(walk(&[(2, "/a"), (3, "/b")], &["/b"]), [(2, false), (3, false)]);
        assert_eq!(walk(&[(2, "/a"), (3, "/b"), (4, "/b/old"), (5, "/new")], &[]), [(4, false), (5, true)]);
        // one that was taken for dead is not born again
        assert_eq!(walk(&[(2, "/a"), (3, "/b"), (4, "/b/old")], &[]), []);
        assert_eq!(walk(&[(2, "/a"), (5, "/new"), (6, "/b")], &[]), [(5, false), (6, true)]);
    }
}
