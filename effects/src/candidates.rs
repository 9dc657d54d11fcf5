//! Who could be hurt by a change, or could have hurt the changed workload: through calls, or by sharing a node.

use std::collections::{BTreeMap, BTreeSet};

use crate::case::{Case, Change};

/// Tested at most, the nearest first; what is left out is counted.
pub const MOST: usize = 200;
/// Effects rarely go further than this through calls.
pub const MOST_HOPS: usize = 2;

/// How a workload is tied to the changed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// It calls the changed workload, through this many calls.
    Caller(usize),
    /// The changed workload calls it, through this many calls.
    Callee(usize),
    /// It has a pod on a node where the changed workload had one.
    Neighbour,
}

impl Relation {
    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Caller(_) => "caller",
            Self::Callee(_) => "callee",
            Self::Neighbour => "neighbour",
        }
    }

    /// Share of the error budget of all others that its kind gets: callers feel a change first.
    #[must_use]
    pub fn share(self) -> f64 {
        let near = match self {
            Self::Caller(_) => 0.25,
            Self::Neighbour => 0.15,
            Self::Callee(_) => 0.10,
        };
        match self {
            // each further call halves it
            Self::Caller(hops) | Self::Callee(hops) => near * 0.5_f64.powi(hops as i32 - 1),
            Self::Neighbour => near,
        }
    }
}

/// Candidates of one change, the nearest first, and how many were left out.
#[must_use]
pub fn candidates<'a>(facts: &'a Case, change: &Change) -> (Vec<(&'a str, Relation)>, usize) {
    let own = change.workload.as_str();
    let mut found: BTreeMap<&str, Relation> = BTreeMap::new();
    // who calls comes before who is called: a caller in a cycle can be hurt
    reach(facts, own, &mut found, |(from, to)| (to, from), Relation::Caller);
    reach(facts, own, &mut found, |(from, to)| (from, to), Relation::Callee);
    for name in neighbours(facts, change) {
        found.entry(name).or_insert(Relation::Neighbour);
    }
    let far = |relation: Relation| match relation {
        Relation::Caller(hops) | Relation::Callee(hops) => hops,
        Relation::Neighbour => 1,
    };
    let mut all: Vec<(&str, Relation)> = found.into_iter().collect();
    all.sort_by_key(|(name, relation)| (far(*relation), *relation, *name));
    let cut = all.len().saturating_sub(MOST);
    all.truncate(MOST);
    (all, cut)
}

fn reach<'a>(
    facts: &'a Case,
    own: &str,
    found: &mut BTreeMap<&'a str, Relation>,
    way: impl Fn((&'a str, &'a str)) -> (&'a str, &'a str),
    relation: impl Fn(usize) -> Relation,
) {
    let mut ring: BTreeSet<&str> = BTreeSet::from([own]);
    for hops in 1..=MOST_HOPS {
        let mut next = BTreeSet::new();
        for (from, to) in &facts.edges {
            let (near, far) = way((from, to));
            if ring.contains(near) && far != own && !found.contains_key(far) {
                next.insert(far);
            }
        }
        found.extend(next.iter().map(|name| (*name, relation(hops))));
        ring = next;
    }
}

/// Workloads with a pod on a node of the changed one, as known when the change began. None where it was on more
/// than half of the nodes: then every workload is its neighbour, and none gets a dose that matters.
fn neighbours<'a>(facts: &'a Case, change: &Change) -> BTreeSet<&'a str> {
    let there = |p: &&crate::case::Pod| {
        p.created.is_none_or(|c| c <= change.start) && p.deleted.is_none_or(|d| d > change.start)
    };
    let placed = || facts.pods.iter().filter(there).filter_map(|p| p.node.as_deref().map(|node| (p, node)));
    let nodes: BTreeSet<&str> = placed().map(|(_, node)| node).collect();
    let ours: BTreeSet<&str> =
        placed().filter(|(p, _)| p.workload == change.workload).map(|(_, node)| node).collect();
    if ours.len() * 2 > nodes.len() {
        return BTreeSet::new();
    }
    let beside = placed().filter(|(p, node)| p.workload != change.workload && ours.contains(node));
    beside.map(|(p, _)| p.workload.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Pod;
    use crate::simulate::{Scenario, World, simulate};

    #[test]
    fn callers_callees_and_neighbours_are_found_once() {
        let (mut facts, _) = simulate(Scenario::Nothing, &World::USUAL, 1);
        let pod = |id: &str, workload: &str, node: &str, created| Pod {
            id: id.to_owned(),
            workload: workload.to_owned(),
            node: Some(node.to_owned()),
            created,
            deleted: None,
        };
        let later = Some(facts.changes[0].start + 1);
        facts.pods = vec![
            pod("a", "middle", "n1", None),
            pod("b", "side", "n1", None),
            pod("c", "back", "n1", None),
            pod("d", "front", "n2", None),
            pod("e", "late", "n1", later),
        ];
        let (all, cut) = candidates(&facts, &facts.changes[0]);
        let expected =
            [("front", Relation::Caller(1)), ("back", Relation::Callee(1)), ("side", Relation::Neighbour)];
        assert_eq!((all.as_slice(), cut), (&expected[..], 0));
        // on every node there is, nobody is a neighbour
        facts.pods.push(pod("f", "middle", "n2", None));
        assert_eq!(candidates(&facts, &facts.changes[0]).0.len(), 2);
        facts.edges = vec![("a".into(), "b".into()), ("b".into(), "middle".into()), ("x".into(), "a".into())];
        let (all, _) = candidates(&facts, &facts.changes[0]);
        assert_eq!(all, [("b", Relation::Caller(1)), ("a", Relation::Caller(2))]);
    }
}
