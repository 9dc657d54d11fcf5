//! Which pods a change made.

use super::{Case, Change, Pod};

impl Case {
    /// Whether a change made a pod: it names it, or, where nobody said which pods it made, the pod is of its workload
    /// and was created while it was the latest change of that workload. May be asked about pods created by the time
    /// of the look only: later ones are not known yet.
    #[must_use]
    pub fn made(&self, change: &Change, pod: &Pod) -> bool {
        if let Some(named) = &change.pods_new {
            return named.contains(&pod.id);
        }
        let Some(created) = pod.created.filter(|c| *c >= change.start) else { return false };
        let newer =
            |c: &Change| c.workload == change.workload && c.start > change.start && c.start <= created;
        pod.workload == change.workload
            && change.end.is_none_or(|end| created <= end)
            && !self.changes.iter().any(newer)
    }

    /// Whether a change is known at `now` to have made pods, or will have: it names them, or one of them exists.
    #[must_use]
    pub fn makes_pods(&self, change: &Change, now: i64) -> bool {
        let there = |p: &Pod| p.created.is_some_and(|c| c <= now) && self.made(change, p);
        change.pods_new.is_some() || self.pods.iter().any(there)
    }
}
