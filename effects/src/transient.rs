//! What a change of its kind does for a while and then stops doing: cold caches, warm-up, connections made anew.
//!
//! A transient is shown and named, never alarmed about: an effect that has passed is no harm any more, and this
//! says whether it was to be expected. Failures that callers saw are never expected.

use crate::case::{Change, ChangeKind, Signal};
use crate::finding::{Direction, Finding, What};

/// How far, as a ratio to the level before, and how long, seconds after the change, a signal may go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Envelope {
    /// Largest ratio.
    pub peak: f64,
    /// Longest time from the start of the change to the last sample that shows it.
    pub lasts_s: i64,
}

/// The envelope of a kind of change and a signal; `None` where nothing is to be expected. Shipped guesses, for a
/// new process that fills its caches within five minutes, until a cluster's own history has taught better ones.
#[must_use]
pub fn envelope(kind: ChangeKind, signal: Signal) -> Option<Envelope> {
    let starts_pods = match kind {
        ChangeKind::Rollout | ChangeKind::Rollback | ChangeKind::Restart => true,
        ChangeKind::Scale | ChangeKind::Drain => true,
        ChangeKind::Config => false,
    };
    let (peak, lasts_s) = match signal {
        _ if !starts_pods => return None,
        // caches are cold, code is compiled while it runs
        Signal::Latency => (3.0, 300),
        Signal::Cpu => (5.0, 300),
        // images, caches and state are fetched
        Signal::NetworkReceive | Signal::NetworkTransmit => (5.0, 300),
        // old and new pods side by side
        Signal::Memory => (2.0, 600),
        Signal::RequestRate | Signal::SuccessRatio | Signal::Gauge => return None,
    };
    Some(Envelope { peak, lasts_s })
}

/// Whether a finding is an effect that has passed and stayed inside the envelope of its change.
#[must_use]
pub fn expected(change: &Change, finding: &Finding) -> bool {
    let What::Signal(signal) = finding.what else { return false };
    let (Some(envelope), Some(size), Some(ended)) =
        (envelope(change.kind, signal), finding.size, finding.ended)
    else {
        return false;
    };
    finding.direction == Direction::Worse
        && ended - change.start <= envelope.lasts_s
        && size.observed <= envelope.peak * size.baseline
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Design, Size};
    use crate::simulate::{Scenario, World, simulate};

    #[test]
    fn a_short_warm_up_is_expected_and_a_long_one_a_high_one_or_failures_are_not() {
        let (facts, _) = simulate(Scenario::Nothing, &World::USUAL, 1);
        let change = &facts.changes[0];
        let seen = |signal, ratio, lasted: Option<i64>| Finding {
            workload: change.workload.clone(),
            what: What::Signal(signal),
            design: Design::Short,
            direction: Direction::Worse,
            p: 1e-3,
            now: 0.1,
            size: Some(Size { baseline: 1.0, observed: ratio, interval: (0.0, 1.0) }),
            detectable: None,
            onset: Some((change.start, change.start + 60)),
            ended: lasted.map(|s| change.start + s),
            latest: Some(change.start + 3_600),
            samples: 60,
            compared: 100,
        };
        assert!(expected(change, &seen(Signal::Latency, 2.0, Some(240))));
        assert!(!expected(change, &seen(Signal::Latency, 2.0, Some(900))));
        assert!(!expected(change, &seen(Signal::Latency, 9.0, Some(240))));
        assert!(!expected(change, &seen(Signal::Latency, 2.0, None)), "it is still there");
        assert!(!expected(change, &seen(Signal::SuccessRatio, 0.9, Some(60))));
        let config = Change { kind: ChangeKind::Config, ..change.clone() };
        assert!(!expected(&config, &seen(Signal::Latency, 2.0, Some(240))));
    }
}
