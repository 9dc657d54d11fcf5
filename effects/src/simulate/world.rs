//! What a simulated recording is like, whatever happens in it.

use super::noise::Noise;

/// How often, for how long and under which load a system was recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct World {
    /// The name in tables.
    pub name: &'static str,
    /// Seconds per sample.
    pub step_s: i64,
    /// Seconds of history before the change.
    pub before_s: i64,
    /// Seconds watched after it.
    pub after_s: i64,
    /// Requests per second at the front.
    pub rate: f64,
    /// How the load moves, a tenth of itself per deviation.
    pub load: Noise,
    /// Whether callers try a failed request once more: fewer failures there, more requests here.
    pub retries: bool,
    /// How much all latencies move together, as the deviation of their logarithm: a network or a disk that all use.
    pub shared: f64,
}

impl World {
    /// Three days at a minute, five requests per second, a daily wave.
    pub const USUAL: Self = Self {
        name: "usual",
        step_s: 60,
        before_s: 3 * 86_400,
        after_s: 6_600,
        rate: 5.0,
        load: Noise::Seasonal,
        retries: false,
        shared: 0.0,
    };

    /// Every world, in a fixed order.
    pub const ALL: [Self; 9] = [
        Self::USUAL,
        Self { name: "fine", step_s: 10, before_s: 12 * 3_600, after_s: 1_800, ..Self::USUAL },
        Self { name: "coarse", step_s: 300, before_s: 10 * 86_400, ..Self::USUAL },
        Self { name: "young", before_s: 3 * 3_600, after_s: 3_600, ..Self::USUAL },
        Self { name: "low", rate: 0.05, ..Self::USUAL },
        Self { name: "bursty", load: Noise::Bursty, ..Self::USUAL },
        Self { name: "drifting", load: Noise::Ar(0.9), ..Self::USUAL },
        Self { name: "retrying", retries: true, ..Self::USUAL },
        Self { name: "shared", shared: 0.3, ..Self::USUAL },
    ];

    /// The world of a name, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|w| w.name == name)
    }

    /// Samples per series.
    pub(super) fn steps(&self) -> usize {
        ((self.before_s + self.after_s) / self.step_s).max(1) as usize + 1
    }
}
