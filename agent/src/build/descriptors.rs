//! How many files the agent may hold open, and who gets how many of them.
//!
//! A service's soft limit is 1024, which the usage files of seventy cgroups fill. So the soft limit is raised to the
//! hard one, and where that is low as well, readers of many files get shares that leave room for everything else:
//! maps and programs, sockets, the spool, directory walks.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept free of usage files and logs, if the limit allows: six probes alone hold about a hundred.
const RESERVED: usize = 256;

/// Raises the soft limit of open files to the hard one. The limit is the process's: call it once, at start.
pub fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, ?current, ?maximum, "limit of open files not raised");
    }
}

/// Most open files of each reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    pub(super) usage: usize,
    pub(super) logs: usize,
    /// What the process may hold in all.
    pub(super) limit: usize,
}

impl Shares {
    /// Both get what they want, or else half of what is left.
    fn of(limit: usize, usage: usize, logs: usize) -> Self {
        let free = limit - RESERVED.min(limit / 2);
        let half = free / 2;
        // what the one does not want is the other's
        let usage_gets = usage.min(half.max(free.saturating_sub(logs)));
        Self { usage: usage_gets, logs: logs.min(free - usage_gets).max(1), limit }
    }

    /// Under this process's limit.
    pub(super) fn now(usage: usize, logs: usize) -> Self {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self::of(usize::try_from(limit).unwrap_or(usize::MAX), usage, logs)
    }
}

#[cfg(test)]
mod tests {
    use super::Shares;

    #[test]
    fn shares_leave_room_for_everything_else() {
        for (limit, usage, logs) in
            [(usize::MAX, 1024, 1024), (65_536, 1024, 1024), (1024, 384, 384), (64, 16, 16)]
        {
            assert_eq!(Shares::of(limit, 1024, 1024), Shares { usage, logs, limit });
        }
        // what the one does not want is the other's
        assert_eq!(Shares::of(1024, 1024, 8), Shares { usage: 760, logs: 8, limit: 1024 });
        assert_eq!(Shares::of(1024, 8, 1024), Shares { usage: 8, logs: 760, limit: 1024 });
        assert_eq!(Shares::of(0, 1024, 1024), Shares { usage: 0, logs: 1, limit: 0 });
    }
}
