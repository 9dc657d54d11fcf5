//! A raw case becomes a valid one here, or says what is wrong with it.

use std::collections::BTreeSet;

use super::{Case, Entity, Signal};

/// Why a case cannot be judged. Each variant names the place.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CaseError {
    /// The step is not positive, or longer than a year.
    #[error("step_seconds is {0}, expected a positive number up to a year")]
    Step(i64),
    /// A name is used twice.
    #[error("{what} {id:?} appears twice")]
    Twice {
        /// Kind of thing.
        what: &'static str,
        /// Its name.
        id: String,
    },
    /// A name is used that was never introduced.
    #[error("{place} names the unknown {what} {id:?}")]
    Unknown {
        /// Where the name stands.
        place: String,
        /// Kind of thing.
        what: &'static str,
        /// The name.
        id: String,
    },
    /// A time no clock ever showed.
    #[error("{place}: {time} is no time in unix seconds")]
    Time {
        /// Where it stands.
        place: String,
        /// What stood there.
        time: i64,
    },
    /// A change stops being observed before it starts.
    #[error("change {id:?}: observe_until {until} is before start {start}")]
    Window {
        /// The change.
        id: String,
        /// Its start.
        start: i64,
        /// Its end of observation.
        until: i64,
    },
    /// A value that cannot be.
    #[error("{entity} {signal}: value {value} at {time} is not possible")]
    Value {
        /// Which entity.
        entity: String,
        /// Which signal.
        signal: &'static str,
        /// When.
        time: i64,
        /// What stood there.
        value: f64,
    },
}

impl Case {
    /// Checks names, windows and values; sorts samples by time and lets the last of two equal times stand.
    ///
    /// # Errors
    /// The first thing found wrong. Cycles in the calls, overlapping changes and changes without pods are fine.
    pub fn check(mut self) -> Result<Self, CaseError> {
        if !(1..=366 * 86_400).contains(&self.step_s) {
            return Err(CaseError::Step(self.step_s));
        }
        let workloads = unique("workload", self.workloads.iter())?;
        let pods = unique("pod", self.pods.iter().map(|p| &p.id))?;
        unique("change", self.changes.iter().map(|c| &c.id))?;
        let known = |place: &str, what, set: &BTreeSet<&String>, id: &String| {
            if set.contains(id) {
                return Ok(());
            }
            Err(CaseError::Unknown { place: place.to_owned(), what, id: id.clone() })
        };
        let timely = |place: &str, times: &[Option<i64>]| {
            let absurd = times.iter().flatten().copied().find(|t| !is_time(*t));
            absurd.map_or(Ok(()), |time| Err(CaseError::Time { place: place.to_owned(), time }))
        };
        for pod in &self.pods {
            timely(&format!("pod {:?}", pod.id), &[pod.created, pod.deleted])?;
            known(&format!("pod {:?}", pod.id), "workload", &workloads, &pod.workload)?;
        }
        for (from, to) in &self.edges {
            known("edges", "workload", &workloads, from)?;
            known("edges", "workload", &workloads, to)?;
        }
        for change in &self.changes {
            let place = format!("change {:?}", change.id);
            timely(&place, &[Some(change.start), change.end, Some(change.observe_until)])?;
            known(&place, "workload", &workloads, &change.workload)?;
            for pod in change.pods_new.iter().chain(&change.pods_old).flatten() {
                known(&place, "pod", &pods, pod)?;
            }
            if change.observe_until < change.start {
                return Err(CaseError::Window {
                    id: change.id.clone(),
                    start: change.start,
                    until: change.observe_until,
                });
            }
        }
        for series in &mut self.series {
            for &(time, value) in &series.samples {
                timely(&format!("{} {}", series.entity, series.signal.name()), &[Some(time)])?;
                if !possible(series.signal, value) {
                    return Err(CaseError::Value {
                        entity: series.entity.to_string(),
                        signal: series.signal.name(),
                        time,
                        value,
                    });
                }
            }
            series.samples.sort_by_key(|s| s.0);
            // equal times: the later row is the correction
            series.samples.dedup_by(|later, earlier| {
                let same = later.0 == earlier.0;
                if same {
                    earlier.1 = later.1;
                }
                same
            });
        }
        Ok(self)
    }

    /// Workload of an entity, if it has one: its own, its pod's, or the callee's for an edge.
    #[must_use]
    pub fn workload_of<'a>(&'a self, entity: &'a Entity) -> Option<&'a str> {
        let id = match entity {
            Entity::Node(_) => return None,
            Entity::Workload(id) => return Some(id),
            Entity::Pod(id) | Entity::Edge(_, id) => id,
        };
        match self.pods.iter().find(|p| &p.id == id) {
            Some(pod) => Some(&pod.workload),
            None => self.workloads.iter().find(|w| *w == id).map(String::as_str),
        }
    }
}

/// Whether a clock may show this: within thirty thousand years of 1970, so that differences cannot overflow.
#[must_use]
pub(crate) fn is_time(time: i64) -> bool {
    time.abs_diff(0) <= 1_000_000_000_000
}

/// Whether a signal can have this value. Infinite and absurdly large numbers are refused, not clipped: sums of
/// them would make every later number meaningless.
#[must_use]
pub fn possible(signal: Signal, value: f64) -> bool {
    // far beyond any byte or request count, far below where squares overflow
    const ABSURD: f64 = 1e100;
    if !value.is_finite() || value.abs() > ABSURD {
        return false;
    }
    // ratios from division of rounded counters overshoot 1 a little
    const OVERSHOOT: f64 = 1.0 + 1e-6;
    (signal.may_be_negative() || value >= 0.0) && (signal != Signal::SuccessRatio || value <= OVERSHOOT)
}

fn unique<'a>(
    what: &'static str,
    ids: impl Iterator<Item = &'a String>,
) -> Result<BTreeSet<&'a String>, CaseError> {
    let mut set = BTreeSet::new();
    for id in ids {
        if !set.insert(id) {
            return Err(CaseError::Twice { what, id: id.clone() });
        }
    }
    Ok(set)
}
