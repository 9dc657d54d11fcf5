//! Evidence that the mean of bounded values exceeds a limit, valid at every look.
//!
//! A gambler bets against "the mean of the next value is at most m"; if that is true her wealth has mean one,
//! whatever the distribution, so it ever reaches 1/α with probability at most α (Ville). Capital-process test
//! of Waudby-Smith and Ramdas, JRSS B 2024, section 4, with a fixed mixture of stakes instead of a tuned one.

/// Share of the largest safe stake that each part of the capital bets.
const STAKES: [f64; 4] = [0.1, 0.3, 0.6, 0.9];

/// Capital of a bet that values in 0..1 have a mean above a limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Betting {
    log_wealth: [f64; STAKES.len()],
}

impl Default for Betting {
    fn default() -> Self {
        Self { log_wealth: [0.0; STAKES.len()] }
    }
}

impl Betting {
    /// Takes one value in 0..1; `limit` (in 0..1) may differ from value to value if it was fixed before the
    /// value was seen.
    pub fn push(&mut self, value: f64, limit: f64) {
        // a limit of zero or one would make the stake infinite or the bet void
        let limit = limit.clamp(1e-3, 1.0 - 1e-3);
        let value = value.clamp(0.0, 1.0);
        for (log, share) in self.log_wealth.iter_mut().zip(STAKES) {
            *log += (1.0 + share / limit * (value - limit)).ln();
        }
    }

    /// The e-value: mean wealth of the parts.
    #[must_use]
    pub fn e(&self) -> f64 {
        self.log_wealth.iter().map(|l| l.min(600.0).exp()).sum::<f64>() / STAKES.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certain_failure_is_found_within_three_values_and_none_never() {
        let mut b = Betting::default();
        for _ in 0..3 {
            b.push(0.9, 0.05);
        }
        assert!(b.e() > 500.0, "{}", b.e());
        let mut b = Betting::default();
        for _ in 0..1000 {
            b.push(0.0, 0.05);
        }
        assert!(b.e() < 1.0);
    }
}
