//! What one test says about one workload.

use crate::case::Signal;

/// What was tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// The values of a signal.
    Signal(Signal),
    /// Whether new pods report and serve at all.
    Silence,
}

impl What {
    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Signal(signal) => signal.name(),
            Self::Silence => "new_pods_silent",
        }
    }
}

/// What the change was compared with, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Design {
    /// New pods against the pods that were there before, and beside them.
    Concurrent,
    /// Workloads that the change cannot reach.
    Synthetic,
    /// The same clock on earlier days.
    Seasonal,
    /// The hour before.
    Short,
    /// How long other new pods took to report.
    Waiting,
}

impl Design {
    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Concurrent => "concurrent",
            Self::Synthetic => "synthetic",
            Self::Seasonal => "seasonal",
            Self::Short => "short",
            Self::Waiting => "waiting",
        }
    }
}

/// Which way an effect goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Harm.
    Worse,
    /// The mirror of harm.
    Better,
}

/// A size with its interval, in the signal's own unit; ratios follow from baseline and observed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Size {
    /// Expected without the change.
    pub baseline: f64,
    /// Seen with it, where it was strongest.
    pub observed: f64,
    /// Interval of `observed − baseline`: what placebos of this size would have shown, .95.
    pub interval: (f64, f64),
}

impl Size {
    /// Difference in the signal's unit.
    #[must_use]
    pub fn excess(&self) -> f64 {
        self.observed - self.baseline
    }
}

/// One test of one workload at one look.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The workload tested.
    pub workload: String,
    /// What was tested.
    pub what: What,
    /// Compared with what.
    pub design: Design,
    /// Harm or its mirror.
    pub direction: Direction,
    /// Probability of such a ratio by chance, valid at every look.
    pub p: f64,
    /// Whether it is still unusual at this look: 1 is the .95 quantile of placebos.
    pub now: f64,
    /// How large; `None` for silence.
    pub size: Option<Size>,
    /// A lasting difference of this size, in the signal's unit, would have been called harm by now.
    pub detectable: Option<f64>,
    /// Between which two samples it began.
    pub onset: Option<(i64, i64)>,
    /// The last sample that showed it, if several came after that one: it has passed.
    pub ended: Option<i64>,
    /// Time of the latest sample.
    pub latest: Option<i64>,
    /// Samples since the change.
    pub samples: usize,
    /// Placebos, pods or earlier starts that it was compared with.
    pub compared: usize,
}
