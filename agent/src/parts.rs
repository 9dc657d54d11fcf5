//! The parts that live as long as the agent: one that ends by itself, by a panic above all, ends the agent, so that
//! whoever started it starts it anew. An agent that only looks alive is worse than none.

use std::sync::{Arc, Mutex, PoisonError};

use daemon::admin::Health;
use daemon::shutdown::{Phase, Shutdown};

/// All parts; clones share them.
#[derive(Clone, Debug)]
pub struct Parts {
    shutdown: Shutdown,
    health: Health,
    failed: Arc<Mutex<Option<&'static str>>>,
}

/// One part, to be dropped when it ends.
#[derive(Debug)]
pub(crate) struct Part {
    parts: Parts,
    name: &'static str,
    may_end: bool,
}

impl Parts {
    pub(crate) fn new(shutdown: Shutdown, health: Health) -> Self {
        Self { shutdown, health, failed: Arc::default() }
    }

    pub(crate) fn part(&self, name: &'static str) -> Part {
        Part { parts: self.clone(), name, may_end: false }
    }

    /// The first part that ended by itself.
    pub fn failed(&self) -> Option<&'static str> {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    /// It has done its work and ends as it should.
    pub(crate) fn done(mut self) {
        self.may_end = true;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let Self { parts: Parts { shutdown, health, failed }, name, may_end } = self;
        if *may_end || shutdown.has_begun(Phase::Intake) {
            return;
        }
        tracing::error!(part = name, "part ended by itself, the agent stops");
        health.not_ready(name, "ended by itself; the log has the place");
        failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(name);
        shutdown.request();
    }
}

#[cfg(test)]
mod tests;
