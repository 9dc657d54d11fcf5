//! The stepwise form: facts, then samples in order of time, and looks between them.
//!
//! A finished case is judged by the same steps ([`crate::judge`]), so the two cannot differ, and a look cannot
//! know what was observed after it.

mod alarm;
mod elsewhere;
mod mended;
mod near;
mod open;
mod rank;
mod weigh;

pub use near::Near;
pub use weigh::{ALPHA, Judgement, STILL, Verdict, Weighed};

use crate::case::{Case, Entity, Signal};
use crate::ingredient::Ingredient;
use crate::live::{Window, Windows};
use crate::past::Pasts;
use crate::samples::Samples;
use open::Open;

/// Changes being watched.
#[derive(Debug, Clone)]
pub struct Watch {
    facts: Case,
    samples: Samples,
    open: Vec<Open>,
    pasts: Pasts,
    windows: Windows,
    left_out: Option<Ingredient>,
}

impl Watch {
    /// Watches the changes of `facts`; its series are not read.
    #[must_use]
    pub fn new(facts: Case) -> Self {
        Self::without(facts, None)
    }

    /// As [`Watch::new`], with one ingredient left out: to measure what it is worth.
    #[must_use]
    pub fn without(mut facts: Case, left_out: Option<Ingredient>) -> Self {
        facts.series.clear();
        let open = (0..facts.changes.len()).map(|i| Open::new(i, left_out)).collect();
        let pasts = Pasts::new(left_out);
        let windows = Windows::new(&[]);
        Self { facts, samples: Samples::default(), open, pasts, windows, left_out }
    }

    /// Takes a sample; `false` if it cannot be or is older than one taken before for the same series.
    pub fn observe(&mut self, entity: &Entity, signal: Signal, time: i64, value: f64) -> bool {
        self.samples.add(&self.facts, entity, signal, time, value)
    }

    /// Sets the ascending upper edges (seconds) of the latency bins that windows will have. Windows taken before
    /// are forgotten.
    #[must_use]
    pub fn with_edges(mut self, edges: &[f64]) -> Self {
        self.windows = Windows::new(edges);
        self
    }

    /// Takes what one pod answered in one window; `false` if the pod is unknown or the window cannot be.
    pub fn count(&mut self, window: Window) -> bool {
        match self.facts.pods.iter().find(|p| p.id == window.pod) {
            Some(pod) => self.windows.push(&pod.workload, window),
            None => false,
        }
    }

    /// Looks at every change that has begun and may still be decided at `now`. What was observed up to `now` has to
    /// have come before: a sample of an earlier time that comes later is kept for the changes to come, and not
    /// looked at for this one.
    pub fn look(&mut self, now: i64) {
        self.pasts.look();
        for open in &mut self.open {
            open.advance(&self.facts, (&self.samples, &self.windows), &mut self.pasts, now);
        }
        let evidence: Vec<_> =
            self.open.iter().map(|o| o.weighs().then(|| o.evidence(&self.facts, &self.samples))).collect();
        let judged = weigh::weigh(&self.facts, &evidence, self.left_out);
        for (open, verdict) in self.open.iter_mut().zip(judged) {
            open.decide(&self.facts, verdict, now);
        }
    }

    /// The standing judgement of every change, in the order of the facts.
    #[must_use]
    pub fn judgements(&self) -> Vec<Judgement> {
        let standing = self.open.iter().map(|o| o.judgement(&self.facts, &self.samples)).collect();
        let mut judged = rank::rank(&self.facts, standing);
        alarm::alarms(&self.facts, &mut judged);
        judged
    }
}
