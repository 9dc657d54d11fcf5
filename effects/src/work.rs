//! Consumption per request: more use for more work is no harm.

use std::collections::BTreeMap;

use crate::case::{Case, Signal};
use crate::line::{Source, line};
use crate::samples::Samples;
use crate::stats::robust::median;

/// Requests that a consumption is divided by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    source: Source,
    usual: f64,
}

/// Below this share of the usual requests the idle use dominates, and a ratio to requests says nothing.
const LEAST_WORK: f64 = 0.05;

impl Work {
    /// `None` for signals that are no consumption, and where requests were not measured.
    pub(crate) fn of(
        facts: &Case,
        samples: &Samples,
        (workload, signal): (&str, Signal),
        start: i64,
    ) -> Option<Self> {
        if !matches!(signal, Signal::Cpu | Signal::NetworkReceive | Signal::NetworkTransmit) {
            return None;
        }
        let source = Source::of(samples, workload, Signal::RequestRate, start)?;
        let rates = line(facts, samples, (workload, Signal::RequestRate, source), start, (i64::MIN, start));
        let usual = median(&mut rates.iter().map(|s| s.1).collect::<Vec<f64>>()).filter(|r| *r > 0.0)?;
        Some(Self { source, usual })
    }

    /// The samples per request, where requests of the same time are known; in the unit of the signal at the
    /// usual number of requests.
    pub(crate) fn per_request(
        &self,
        facts: &Case,
        samples: &Samples,
        workload: &str,
        start: i64,
        window: (i64, i64),
        used: &[(i64, f64)],
    ) -> Vec<(i64, f64)> {
        let rates = line(facts, samples, (workload, Signal::RequestRate, self.source), start, window);
        let rates: BTreeMap<i64, f64> = rates.into_iter().collect();
        let known = used.iter().filter_map(|(t, v)| rates.get(t).map(|r| (*t, *v, *r)));
        known.map(|(t, v, r)| (t, v / (r / self.usual).max(LEAST_WORK))).collect()
    }
}
