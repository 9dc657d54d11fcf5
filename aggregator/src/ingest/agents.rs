//! Who sends: one entry per node, kept after its stream has ended; the longest silent goes when there are too many.
//!
//! A node is what its certificate names, whatever cluster its agent says it is of; one aggregator serves one cluster.
//! What an agent says of itself is cut to what an entry may hold.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use proto::v1::{AgentStatus, Check, Hello, ProbeState};

/// The most probes and checks that an agent may name.
const MOST_PROBES: usize = 64;
/// The most things that a probe may lack.
const MOST_MISSING: usize = 64;
/// The most bytes of one text of a status.
const MOST_TEXT_BYTES: usize = 1 << 10;

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
    /// By node.
    agents: Mutex<BTreeMap<String, Agent>>,
}

impl Agents {
    pub(crate) fn new(most: usize) -> Self {
        Self { most: most.max(1), agents: Mutex::default() }
    }

    /// Notes a new stream. Returns whether there was room for it.
    #[must_use]
    pub(crate) fn connected(&self, hello: &Hello, now_ns: u64) -> bool {
        let mut agents = self.lock();
        if agents.len() >= self.most && !agents.contains_key(&hello.node) {
            let silent = agents.iter().filter(|(_, agent)| agent.streams == 0);
            let oldest = silent.min_by_key(|(_, agent)| agent.last_batch_ns).map(|(node, _)| node.clone());
            match oldest {
                Some(oldest) => agents.remove(&oldest),
                None => return false,
            };
        }
        let agent = agents.entry(hello.node.clone()).or_insert_with(|| Agent {
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
        if let Some(agent) = self.lock().get_mut(&hello.node) {
            agent.streams = agent.streams.saturating_sub(1);
        }
    }

    pub(crate) fn acknowledged(&self, hello: &Hello, now_ns: u64) {
        if let Some(agent) = self.lock().get_mut(&hello.node) {
            agent.last_batch_ns = Some(now_ns);
        }
    }

    pub(crate) fn status(&self, hello: &Hello, status: AgentStatus, now_ns: u64) {
        if let Some(agent) = self.lock().get_mut(&hello.node) {
            agent.status = bounded(status);
            agent.heard_ns = Some(now_ns);
        }
    }

    /// Every agent, by node.
    pub fn list(&self) -> Vec<Agent> {
        self.lock().values().cloned().collect()
    }

    /// Agents with an open stream.
    pub(crate) fn connected_now(&self) -> usize {
        self.lock().values().filter(|agent| agent.streams > 0).count()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Agent>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As much of a status as is kept. Each part is made anew, so that nothing of a large message stays in memory.
fn bounded(status: AgentStatus) -> AgentStatus {
    let AgentStatus { probes, spool_bytes, spool_batches, now_ns, checks } = status;
    let probe = |probe: ProbeState| ProbeState {
        probe: text(&probe.probe),
        state: text(&probe.state),
        reason: text(&probe.reason),
        missing: probe.missing.iter().take(MOST_MISSING).map(|missing| text(missing)).collect(),
    };
    let check = |check: Check| Check {
        area: text(&check.area),
        state: text(&check.state),
        found: text(&check.found),
        advice: text(&check.advice),
    };
    let mut kept = AgentStatus { spool_bytes, spool_batches, now_ns, ..AgentStatus::default() };
    kept.probes.extend(probes.into_iter().take(MOST_PROBES).map(probe));
    kept.checks.extend(checks.into_iter().take(MOST_PROBES).map(check));
    kept
}

fn text(said: &str) -> String {
    let end = said.floor_char_boundary(MOST_TEXT_BYTES);
    said[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use proto::v1::{AgentStatus, Check, Hello, ProbeState};

    use super::{Agents, MOST_MISSING, MOST_PROBES, MOST_TEXT_BYTES};

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
    fn a_node_is_one_agent_whatever_cluster_it_names() {
        let agents = Agents::new(2);
        for cluster in 0..10 {
            assert!(agents.connected(&Hello { cluster: format!("c{cluster}"), ..hello("a") }, cluster));
        }
        assert!(agents.connected(&hello("b"), 10), "there is room for another");
        let listed: Vec<_> =
            agents.list().into_iter().map(|agent| (agent.hello.node, agent.streams)).collect();
        assert_eq!(listed, [("a".to_owned(), 10), ("b".to_owned(), 1)]);
    }

    #[test]
    fn what_an_agent_says_of_itself_is_bounded() {
        let agents = Agents::new(1);
        assert!(agents.connected(&hello("a"), 1));
        let long = "ä".repeat(100_000);
        let probe = ProbeState {
            probe: long.clone(),
            state: long.clone(),
            reason: long.clone(),
            missing: vec![long.clone(); 1_000],
        };
        let check =
            Check { area: long.clone(), state: long.clone(), found: long.clone(), advice: long.clone() };
        let status = AgentStatus {
            probes: vec![probe; 70],
            checks: vec![check; 70],
            now_ns: 7,
            ..AgentStatus::default()
        };
        agents.status(&hello("a"), status, 2);
        let kept = agents.list().remove(0).status;
        assert_eq!((kept.probes.len(), kept.checks.len(), kept.now_ns), (MOST_PROBES, MOST_PROBES, 7));
        let ProbeState { probe, state, reason, missing } = &kept.probes[0];
        let Check { area, state: found_state, found, advice } = &kept.checks[0];
        assert_eq!(missing.len(), MOST_MISSING);
        for text in [probe, state, reason, &missing[0], area, found_state, found, advice] {
            assert_eq!(text.len(), MOST_TEXT_BYTES);
        }
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
