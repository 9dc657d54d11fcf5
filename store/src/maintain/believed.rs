//! The time by which rows grow old: the wall clock's, unless it has just jumped ahead. A clock that is wrong for a while
//! must not cost the rows of years.

const HOUR_NS: i64 = 3_600_000_000_000;
/// Housekeeping comes every second or so: more than this between two rounds is a jump, or a long sleep. Not less than what
/// lies between two edits of the catalog of a quiet store, which keep what is believed over a restart.
const JUMP_NS: i64 = 2 * HOUR_NS;
/// A clock that went on for so long after its jump is believed.
const HELD_NS: i64 = HOUR_NS;

/// What is known of the wall clock.
#[derive(Debug)]
pub(crate) struct Believed {
    /// The clock at the last round; before the first one what was believed then, ns.
    last_ns: Option<i64>,
    has_begun: bool,
    /// What it is ahead of what is believed, ns.
    ahead_ns: i64,
    /// Where it jumped to, ns.
    jumped_to_ns: i64,
}

impl Believed {
    /// Of a store where this was believed when it was open last.
    pub(crate) fn new(before_ns: Option<i64>) -> Self {
        Self { last_ns: before_ns, has_begun: false, ahead_ns: 0, jumped_to_ns: 0 }
    }

    /// What was believed at the last round.
    pub(crate) fn last(&self) -> Option<i64> {
        Some(self.last_ns?.saturating_sub(self.ahead_ns))
    }

    /// What is believed when the clock says so.
    pub(super) fn at(&mut self, wall_ns: i64) -> i64 {
        let passed = self.last_ns.map_or(0, |last| wall_ns.saturating_sub(last));
        self.last_ns = Some(wall_ns);
        if passed > JUMP_NS {
            self.ahead_ns = self.ahead_ns.saturating_add(passed);
            self.jumped_to_ns = wall_ns;
            let hours = passed / HOUR_NS;
            match self.has_begun {
                true => {
                    tracing::warn!(hours, "the clock jumped ahead: nothing grows old by that for an hour")
                }
                false => tracing::info!(
                    hours,
                    "the store was closed for long: nothing grows old by that for an hour"
                ),
            }
        } else if passed < 0 {
            // put right, or a part of it
            self.ahead_ns = self.ahead_ns.saturating_add(passed);
            self.jumped_to_ns = wall_ns;
        }
        self.has_begun = true;
        if self.ahead_ns <= JUMP_NS || wall_ns.saturating_sub(self.jumped_to_ns) >= HELD_NS {
            self.ahead_ns = 0;
        }
        wall_ns.saturating_sub(self.ahead_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const YEAR: i64 = 365 * 24 * HOUR_NS;
    const START: i64 = 50 * YEAR;

    #[test]
    fn a_clock_that_goes_on_is_believed() {
        let mut believed = Believed::new(None);
        for round in 0..10_000 {
            assert_eq!(believed.at(START + round * SECOND), START + round * SECOND);
        }
        // set back a little, as by NTP
        assert_eq!(believed.at(START), START);
    }

    #[test]
    fn a_jump_is_believed_once_it_held_for_an_hour() {
        let mut believed = Believed::new(Some(START));
        for second in 0..3_600 {
            assert_eq!(believed.at(START + YEAR + second * SECOND), START + second * SECOND);
        }
        assert_eq!(believed.at(START + YEAR + HOUR_NS), START + YEAR + HOUR_NS);
    }

    #[test]
    fn one_that_is_put_right_never_counted() {
        let mut believed = Believed::new(Some(START));
        assert_eq!(believed.at(START + SECOND), START + SECOND);
        assert_eq!(believed.at(START + YEAR), START + SECOND);
        assert_eq!(believed.at(START + YEAR + 600 * SECOND), START + 601 * SECOND);
        for round in 602..20_000 {
            assert_eq!(believed.at(START + round * SECOND), START + round * SECOND);
        }
    }

    #[test]
    fn no_clock_makes_it_overflow_or_run_ahead() {
        let mut believed = Believed::new(Some(i64::MIN));
        for wall in [i64::MAX, i64::MIN, 0, i64::MAX, -1, i64::MIN, i64::MAX] {
            assert!(believed.at(wall) <= wall);
        }
    }
}
