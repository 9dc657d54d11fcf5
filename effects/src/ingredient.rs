//! What the judgement is made of, so that each part can be left out and its worth measured.

/// One part of the judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ingredient {
    /// Comparing with what the series itself did when nothing changed; without it, with a fixed number of
    /// deviations.
    Placebos,
    /// The same clock on earlier days.
    Seasonal,
    /// The other workloads.
    Synthetic,
    /// New pods against old pods.
    Concurrent,
    /// Noticing pods that never report.
    Silence,
    /// Several views of one series; without them, only the largest residuals.
    Views,
    /// A view for shifts that last, smaller than the noise of one sample.
    Lasting,
    /// Expecting more noise after a wild hour than after a calm one.
    Noise,
    /// Not blaming a workload for what it only passes on.
    Paths,
    /// Splitting the error budget over signals.
    Multiplicity,
    /// Withdrawing what has passed.
    Passing,
}

impl Ingredient {
    /// Every part, in a fixed order.
    pub const ALL: [Self; 11] = [
        Self::Placebos,
        Self::Seasonal,
        Self::Synthetic,
        Self::Concurrent,
        Self::Silence,
        Self::Views,
        Self::Lasting,
        Self::Noise,
        Self::Paths,
        Self::Multiplicity,
        Self::Passing,
    ];

    /// The name on a command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Placebos => "placebos",
            Self::Seasonal => "seasonal",
            Self::Synthetic => "synthetic",
            Self::Concurrent => "concurrent",
            Self::Silence => "silence",
            Self::Views => "views",
            Self::Lasting => "lasting",
            Self::Noise => "noise",
            Self::Paths => "paths",
            Self::Multiplicity => "multiplicity",
            Self::Passing => "passing",
        }
    }
}
