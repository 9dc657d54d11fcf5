//! What is known about a change and about what was measured around it: the input of everything else.
//!
//! In: parsed values, from files or from a live stream. Out: a [`Case`] whose names resolve and whose numbers
//! are finite. What was not measured is absent, never zero.

mod check;
mod made;
mod signal;
#[cfg(test)]
mod tests;

pub(crate) use check::is_time;
pub use check::{CaseError, possible};
pub use signal::{Harm, Signal};

use std::collections::BTreeSet;

/// What a sample describes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entity {
    /// All pods of a workload together.
    Workload(String),
    /// One pod.
    Pod(String),
    /// One machine.
    Node(String),
    /// Calls from one end to the other; each end is a workload or a pod.
    Edge(String, String),
}

impl std::fmt::Display for Entity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Workload(id) | Self::Pod(id) | Self::Node(id) => f.write_str(id),
            Self::Edge(from, to) => write!(f, "{from}->{to}"),
        }
    }
}

/// What kind of act a change was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// A new version of the pods.
    Rollout,
    /// Back to an earlier version.
    Rollback,
    /// The same version, started again.
    Restart,
    /// Another number or size of pods.
    Scale,
    /// Another configuration, the same pods.
    Config,
    /// A node emptied.
    Drain,
}

impl ChangeKind {
    /// Every kind, in a fixed order.
    pub const ALL: [Self; 6] =
        [Self::Rollout, Self::Rollback, Self::Restart, Self::Scale, Self::Config, Self::Drain];

    /// The name in files and on a command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rollout => "rollout",
            Self::Rollback => "rollback",
            Self::Restart => "restart",
            Self::Scale => "scale",
            Self::Config => "config",
            Self::Drain => "drain",
        }
    }
}

/// One change. Facts that lie after a look's time are hidden from that look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Name, unique in the case.
    pub id: String,
    /// What kind of act.
    pub kind: ChangeKind,
    /// The workload that was changed.
    pub workload: String,
    /// First moment at which anything could differ, unix seconds.
    pub start: i64,
    /// When the act was complete; `None`: unknown or instant.
    pub end: Option<i64>,
    /// Nothing later may decide this change, unix seconds.
    pub observe_until: i64,
    /// Pods the change made by its end, each usable from its creation on; `None`: unknown.
    pub pods_new: Option<Vec<String>>,
    /// Pods the change replaced; `None`: unknown.
    pub pods_old: Option<Vec<String>>,
}

/// One pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Name.
    pub id: String,
    /// Workload it belongs to.
    pub workload: String,
    /// Node it ran on, if known.
    pub node: Option<String>,
    /// Creation, unix seconds; `None`: before the recording, or unknown.
    pub created: Option<i64>,
    /// Deletion, unix seconds; `None`: after the recording, or unknown.
    pub deleted: Option<i64>,
}

/// The samples of one signal of one entity, sorted by time, each time once.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What was measured.
    pub entity: Entity,
    /// Which quantity.
    pub signal: Signal,
    /// `(unix seconds, value)`; a sample at *t* describes the step that ends at *t*.
    pub samples: Vec<(i64, f64)>,
}

/// Changes, structure and samples of one recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Opaque name; decides nothing.
    pub id: String,
    /// Usual distance of samples, seconds.
    pub step_s: i64,
    /// First and last sample, unix seconds.
    pub span: (i64, i64),
    /// Signals known only up to a positive factor per entity.
    pub relative: BTreeSet<Signal>,
    /// Names of workloads.
    pub workloads: Vec<String>,
    /// Pods that existed at any time.
    pub pods: Vec<Pod>,
    /// Calls, caller first.
    pub edges: Vec<(String, String)>,
    /// Changes.
    pub changes: Vec<Change>,
    /// Samples.
    pub series: Vec<Series>,
}
