//! Growing pauses with jitter, so that many agents do not come back at once.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(10);

/// The pauses between attempts to connect.
#[derive(Debug)]
pub(crate) struct Backoff {
    pause: Duration,
    state: u64,
}

impl Backoff {
    pub(crate) fn new(seed: u64) -> Self {
        Self { pause: FIRST, state: seed | 1 }
    }

    /// A connection answered: the next failure is a first one again.
    pub(crate) fn reset(&mut self) {
        self.pause = FIRST;
    }

    /// Between half of the pause and all of it; the pause doubles.
    pub(crate) fn next(&mut self) -> Duration {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let share = 0.5 + 0.5 * ((self.state >> 40) as f64 / (1_u64 << 24) as f64);
        let pause = self.pause.mul_f64(share);
        self.pause = (self.pause * 2).min(MOST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoff, FIRST, MOST};

    #[test]
    fn pauses_grow_to_the_limit_and_start_again() {
        let mut backoff = Backoff::new(3);
        let pauses: Vec<_> = (0..20).map(|_| backoff.next()).collect();
        assert!(pauses[0] >= FIRST / 2 && pauses[0] <= FIRST);
        assert!(pauses[19] >= MOST / 2 && pauses[19] <= MOST);
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
