//! Who sends: one entry per node, kept after its stream has ended; the longest silent goes when there are too many.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use proto::v1::{AgentStatus, Hello};

/// What is known of one agent.
#[derive(Clone, Debug)]
pub struct Agent {
    /// What it said when it connected last.
    pub hello: Hello,
    /// Its streams that are open; an agent that reconnects may hold two for a moment.
    pub streams: u32,
    /// When it connected last, ns.
    pub connected_ns: u64,
    /// When its last batch was acknowledged, ns.
    pub last_batch_ns: Option<u64>,
    /// Its probes and spool, as it said last.
    pub status: AgentStatus,
    /// When it said so, ns.
    pub heard_ns: Option<u64>,
}

/// Every agent; bounded.
#[derive(Debug)]
pub struct Agents {
    most: usize,
    /// By cluster and node.
    agents: Mutex<BTreeMap<(String, String), Agent>>,
}

impl Agents {
    pub(crate) fn new(most: usize) -> Self {
        Self { most: most.max(1), agents: Mutex::default() }
    }

    /// Notes a new stream. Returns whether there was room for it.
    #[must_use]
    pub(crate) fn connected(&self, hello: &Hello, now_ns: u64) -> bool {
        let mut agents = self.lock();
        let key = key(hello);
        if agents.len() >= self.most && !agents.contains_key(&key) {
            let silent = agents.iter().filter(|(_, agent)| agent.streams == 0);
            let oldest = silent.min_by_key(|(_, agent)| agent.last_batch_ns).map(|(key, _)| key.clone());
            match oldest {
                Some(oldest) => agents.remove(&oldest),
                None => return false,
            };
        }
        let agent = agents.entry(key).or_insert_with(|| Agent {
            hello: hello.clone(),
            streams: 0,
            connected_ns: now_ns,
            last_batch_ns: None,
            status: AgentStatus::default(),
            heard_ns: None,
        });
        agent.hello = hello.clone();
        agent.streams += 1;
        agent.connected_ns = now_ns;
        true
    }

    pub(crate) fn disconnected(&self, hello: &Hello) {
        if let Some(agent) = self.lock().get_mut(&key(hello)) {
            agent.streams = agent.streams.saturating_sub(1);
        }
    }

    pub(crate) fn acknowledged(&self, hello: &Hello, now_ns: u64) {
        if let Some(agent) = self.lock().get_mut(&key(hello)) {
            agent.last_batch_ns = Some(now_ns);
        }
    }

    pub(crate) fn status(&self, hello: &Hello, status: AgentStatus, now_ns: u64) {
        if let Some(agent) = self.lock().get_mut(&key(hello)) {
            agent.status = status;
            agent.heard_ns = Some(now_ns);
        }
    }

    /// Every agent, by cluster and node.
    pub fn list(&self) -> Vec<Agent> {
        self.lock().values().cloned().collect()
    }

    /// Agents with an open stream.
    pub(crate) fn connected_now(&self) -> usize {
        self.lock().values().filter(|agent| agent.streams > 0).count()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Agent>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(hello: &Hello) -> (String, String) {
    (hello.cluster.clone(), hello.node.clone())
}

#[cfg(test)]
mod tests {
    use proto::v1::Hello;

    use super::Agents;

    fn hello(node: &str) -> Hello {
        Hello { node: node.to_owned(), ..Hello::default() }
    }

    #[test]
    fn an_agent_that_reconnects_is_one_agent() {
        let agents = Agents::new(8);
        assert!(agents.connected(&hello("a"), 1) && agents.connected(&hello("a"), 2));
        agents.disconnected(&hello("a"));
        assert_eq!((agents.list().len(), agents.connected_now()), (1, 1));
        agents.disconnected(&hello("a"));
        assert_eq!((agents.list().len(), agents.connected_now()), (1, 0));
    }

    #[test]
    fn the_longest_silent_goes_and_a_connected_one_never() {
        let agents = Agents::new(2);
        assert!(agents.connected(&hello("a"), 1) && agents.connected(&hello("b"), 1));
        assert!(!agents.connected(&hello("c"), 2), "both are connected");
        agents.disconnected(&hello("a"));
        assert!(agents.connected(&hello("c"), 3));
        let nodes: Vec<_> = agents.list().into_iter().map(|agent| agent.hello.node).collect();
        assert_eq!(nodes, ["b", "c"]);
    }
}
