//! Which part of what this kernel runs is this node's, where several nodes share one kernel (as in kind).
//!
//! The programs ask a task's ancestor at the level of the node's root, so the level must be known, and a cgroup namespace
//! hides what is above it. The self-check has read the ids of this process's own ancestors: the node's root is one of
//! them, or lies at a known distance from this process by the paths that the kernel writes.

use agent_common::selfcheck::SelfCheck;

use super::view::position;

/// The id of the root of cgroup2, on every kernel.
pub const MACHINE_ROOT: u64 = 1;

/// What belongs to the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Levels of its root below the hierarchy's; 0: everything is its own.
    pub level: u32,
    /// Whether it also tells what belongs to no node.
    pub is_host_owner: bool,
    /// Why the level is not known, if so: no probe may then run, since it would tell other nodes' events.
    pub unknown: Option<String>,
}

impl Node {
    /// `seen` is this process by the self-check, `own_path` its path in `/proc/self/cgroup`, `root` that of the node's
    /// root in `/proc/self/mountinfo`.
    pub(super) fn find(
        root_id: u64,
        root: &str,
        own_path: &str,
        seen: Option<&SelfCheck>,
        host_owner: Option<bool>,
    ) -> Self {
        // without a hierarchy there are no nodes to tell apart, and the probes say so themselves
        if root_id == 0 || root_id == MACHINE_ROOT {
            return Self { level: 0, is_host_owner: host_owner.unwrap_or(true), unknown: None };
        }
        let is_host_owner = host_owner.unwrap_or(false);
        match level(root_id, root, own_path, seen) {
            Ok(level) => Self { level, is_host_owner, unknown: None },
            Err(why) => Self { level: 0, is_host_owner, unknown: Some(why) },
        }
    }
}

fn level(root_id: u64, root: &str, own_path: &str, seen: Option<&SelfCheck>) -> Result<u32, String> {
    let hint = "mount the whole cgroup2 hierarchy, or name the node's root in node.cgroup_root";
    let Some(seen) = seen else {
        return Err(format!(
            "the level of the node's cgroup (id {root_id}) cannot be read: no self-check; {hint}"
        ));
    };
    // 0 where this kernel's cgroups do not tell them
    let own = seen.ancestors.get(seen.level as usize);
    if own.is_some_and(|own| *own != seen.cgroup_by_helper) {
        return Err(format!(
            "this process's own cgroup reads {own:?} among its ancestors, the helper says {}: nodes cannot be told apart; \
             give each a kernel of its own, or this agent the machine's whole cgroup2 hierarchy",
            seen.cgroup_by_helper
        ));
    }
    let ancestors = seen.ancestors.iter().take(seen.level as usize + 1);
    if let Some(level) = ancestors.into_iter().position(|id| *id == root_id) {
        return u32::try_from(level).map_err(|error| error.to_string());
    }
    let steps = |path: &str| {
        let (up, down) = position(path);
        i64::try_from(down.len()).unwrap_or(0) - i64::try_from(up).unwrap_or(0)
    };
    match u32::try_from(i64::from(seen.level) - steps(own_path) + steps(root)) {
        Ok(level) if level > 0 => Ok(level),
        _ => Err(format!("cgroup {root_id} at {root} is neither above this process nor beside it; {hint}")),
    }
}

#[cfg(test)]
mod tests {
    use agent_common::node::MAX_LEVELS;
    use agent_common::selfcheck::SelfCheck;

    use super::Node;

    fn seen(own: &[u64]) -> SelfCheck {
        let mut ancestors = [0; MAX_LEVELS];
        ancestors[..own.len()].copy_from_slice(own);
        let level = u32::try_from(own.len() - 1).unwrap();
        SelfCheck {
            tgid: 1,
            ran: 1,
            start_boot_ns: 0,
            comm: [0; 16],
            cgroup_by_field: own[own.len() - 1],
            cgroup_by_helper: own[own.len() - 1],
            level,
            _pad: 0,
            ancestors,
        }
    }

    #[track_caller]
    fn check(root_id: u64, root: &str, own_path: &str, own: &[u64], expected: Option<u32>) {
        let node = Node::find(root_id, root, own_path, Some(&seen(own)), None);
        assert_eq!(node.unknown.is_none().then_some(node.level), expected, "{:?}", node.unknown);
    }

    #[test]
    fn the_root_of_the_hierarchy_is_everything() {
        check(1, "/", "/a/b", &[1, 20, 30], Some(0));
        let node = Node::find(1, "/", "/", None, None);
        assert!(node.is_host_owner && node.unknown.is_none());
        assert!(!Node::find(20, "/", "/", Some(&seen(&[1, 20])), None).is_host_owner);
        assert!(Node::find(20, "/", "/", Some(&seen(&[1, 20])), Some(true)).is_host_owner);
    }

    #[test]
    fn an_ancestor_is_found_by_its_id_whatever_the_paths_say() {
        // a pod in a node in a cgroup namespace: only the kernel knows that there is something above
        check(30, "/../..", "/", &[1, 20, 30, 40, 50], Some(2));
        check(30, "/", "/kubepods/pod", &[1, 20, 30, 40, 50], Some(2));
    }

    #[test]
    fn a_node_beside_this_process_is_found_by_the_distance() {
        check(77, "/lab/node1", "/", &[1], Some(2));
        check(77, "/lab/node1", "/user/me", &[1, 5, 6], Some(2));
        check(77, "/../node1", "/session", &[1, 5, 6, 7], Some(2));
        check(77, "/../../../..", "/", &[1, 5], None);
    }

    #[test]
    fn ancestors_that_do_not_fit_matter_where_nodes_are_told_apart() {
        for wrong in [0, 99] {
            let mut seen = seen(&[1, 20, 30]);
            seen.ancestors[2] = wrong;
            let whole = Node::find(1, "/", "/a/b", Some(&seen), None);
            assert_eq!((whole.level, whole.unknown), (0, None));
            assert!(Node::find(20, "/", "/b", Some(&seen), None).unknown.is_some());
        }
    }

    #[test]
    fn without_a_self_check_nothing_is_guessed() {
        assert!(Node::find(20, "/", "/", None, None).unknown.is_some());
    }
}
