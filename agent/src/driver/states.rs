//! The state of every probe: the one answer to "what works here", as `/probes`, as a gauge and to the aggregator.

use std::sync::Arc;

use proto::v1::ProbeState;
use tokio::sync::watch;

use crate::metrics::AgentMetrics;
use crate::metrics::labels::ProbeStateLabels;
use crate::probe::AttachError;

/// The states; clones share them.
#[derive(Clone, Debug)]
pub struct States {
    all: Arc<watch::Sender<Vec<ProbeState>>>,
    metrics: AgentMetrics,
}

impl States {
    /// No probe has a state yet.
    pub fn new(metrics: AgentMetrics) -> Self {
        Self { all: Arc::new(watch::Sender::new(Vec::new())), metrics }
    }

    /// Follows them.
    pub fn subscribe(&self) -> watch::Receiver<Vec<ProbeState>> {
        self.all.subscribe()
    }

    /// As they are now.
    pub fn now(&self) -> Vec<ProbeState> {
        self.all.borrow().clone()
    }

    /// Whether a probe runs.
    pub fn is_running(&self, probe: &str) -> bool {
        self.all.borrow().iter().any(|state| state.probe == probe && state.state == "running")
    }

    /// It runs; `missing` is what it lacks here.
    pub fn running(&self, probe: &str, missing: Vec<String>) {
        self.set(
            ProbeState { probe: probe.into(), state: "running".into(), reason: String::new(), missing },
            "",
        );
    }

    /// It is switched off.
    pub fn disabled(&self, probe: &str, why: &str) {
        self.stopped(probe, "disabled", "config", why);
    }

    /// It is shed for a while.
    pub fn over_budget(&self, probe: &str) {
        self.stopped(probe, "disabled", "budget", "shed, the agent is over its budget");
    }

    /// The probe that it works with does not run.
    pub fn without(&self, probe: &str, needed: &str) {
        self.stopped(
            probe,
            "disabled",
            "needs",
            &format!("works with the probe {needed} only, which does not run"),
        );
    }

    /// This host lacks what it needs.
    pub fn unsupported(&self, probe: &str, code: &str, detail: &str) {
        self.stopped(probe, "unsupported", code, detail);
    }

    /// It should have worked.
    pub fn failed(&self, probe: &str, code: &str, detail: &str) {
        self.stopped(probe, "failed", code, detail);
    }

    /// It did not attach.
    pub fn not_attached(&self, probe: &str, error: &AttachError) {
        match error {
            AttachError::Disabled(why) => self.disabled(probe, why),
            AttachError::Unsupported { code, detail } => self.unsupported(probe, code, detail),
            AttachError::Failed { code, detail } => self.failed(probe, code, detail),
        }
    }

    fn stopped(&self, probe: &str, state: &str, code: &str, detail: &str) {
        let reason = format!("{code}: {detail}");
        self.set(ProbeState { probe: probe.into(), state: state.into(), reason, missing: Vec::new() }, code);
    }

    fn set(&self, new: ProbeState, code: &str) {
        let gauge = |state: &ProbeState, code: &str| {
            let labels = ProbeStateLabels {
                probe: state.probe.clone(),
                state: state.state.clone(),
                reason: code.to_owned(),
            };
            self.metrics.probe_state.get_or_create_owned(&labels)
        };
        self.all.send_if_modified(|all| {
            let Some(old) = all.iter_mut().find(|old| old.probe == new.probe) else {
                gauge(&new, code).set(1);
                all.push(new);
                return true;
            };
            if *old == new {
                return false;
            }
            let old_code = old.reason.split(':').next().unwrap_or_default().to_owned();
            gauge(old, &old_code).set(0);
            gauge(&new, code).set(1);
            *old = new;
            true
        });
    }

    /// One line for the log, e.g. `flows running, block unsupported (no_btf)`.
    pub fn line(&self) -> String {
        let all = self.all.borrow();
        let words = all.iter().map(|state| match state.reason.split(':').next() {
            Some(code) if !code.is_empty() => format!("{} {} ({code})", state.probe, state.state),
            _ => format!("{} {}", state.probe, state.state),
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use daemon::metrics::Registry;

    use super::States;
    use crate::metrics::AgentMetrics;
    use crate::probe::AttachError;

    #[test]
    fn a_state_is_published_when_it_changes_and_the_gauge_follows() {
        let registry = Registry::new();
        let states = States::new(AgentMetrics::register(&registry.with_prefix("wake_agent")));
        let mut seen = states.subscribe();
        states.running("flows", Vec::new());
        assert!(seen.has_changed().unwrap());
        seen.mark_unchanged();
        states.running("flows", Vec::new());
        assert!(!seen.has_changed().unwrap());
        states.not_attached("flows", &AttachError::Failed { code: "verifier", detail: "line 3".into() });
        assert!(seen.has_changed().unwrap() && !states.is_running("flows"));
        assert_eq!(states.line(), "flows failed (verifier)");
        let text = registry.prometheus_text();
        assert!(text.contains(r#"probe_state{probe="flows",state="failed",reason="verifier"} 1"#), "{text}");
        assert!(text.contains(r#"probe_state{probe="flows",state="running",reason=""} 0"#), "{text}");
    }
}
