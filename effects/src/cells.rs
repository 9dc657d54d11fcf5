//! How finely a line is read: cells of a minute at least, and the running mean of three minutes.
//!
//! A verdict must not hang on how often somebody scrapes. Values closer than a minute are averaged over cells of a
//! minute; and as one odd sample is no effect, what is judged is the mean of the last three minutes, where cells are
//! short enough for one. Placebos are read the same way. Coarser lines are taken as they are.

/// The shortest cell.
const CELL_S: i64 = 60;
/// What the running mean covers: a person who sees one odd minute waits for two more.
const RUN_S: i64 = 180;

/// How a line is cut into cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cells {
    /// Seconds per cell.
    pub(crate) step_s: i64,
    /// Samples that a cell usually holds.
    pub(crate) usual: usize,
}

impl Cells {
    /// For samples usually `spacing_s` apart, of a recording said to have a step of `step_s`.
    pub(crate) fn of(spacing_s: Option<i64>, step_s: i64) -> Self {
        let spacing_s = spacing_s.unwrap_or(step_s).max(1);
        let cell_s = spacing_s.max(step_s).max(CELL_S);
        let usual = usize::try_from(cell_s.saturating_add(spacing_s / 2) / spacing_s).unwrap_or(1).max(1);
        Self { step_s: cell_s, usual }
    }

    /// Cells that the running mean covers.
    pub(crate) fn width(self) -> usize {
        usize::try_from((RUN_S + self.step_s / 2) / self.step_s).unwrap_or(1).max(1)
    }

    /// The mean of each cell, with the time of its last sample. Cells have a border at `anchor`.
    pub(crate) fn means(self, samples: Vec<(i64, f64)>, anchor: i64) -> Vec<(i64, f64)> {
        let mut filling = Filling::new(self);
        let mut means = Vec::with_capacity(samples.len() / self.usual + 1);
        for (time, value) in samples {
            means.extend(filling.take(self.place(time, anchor), time, value));
        }
        means.extend(filling.rest());
        means
    }

    /// The cell of a time: 1 is the first after the anchor, which itself is the end of cell 0.
    pub(crate) fn place(self, time: i64, anchor: i64) -> i64 {
        time.saturating_sub(anchor).saturating_sub(1).div_euclid(self.step_s).saturating_add(1)
    }

    /// The end of the cell of a time; the time itself where a cell is one sample.
    pub(crate) fn end(self, time: i64, anchor: i64) -> i64 {
        if self.usual == 1 {
            return time;
        }
        anchor.saturating_add(self.place(time, anchor).saturating_mul(self.step_s))
    }

    /// The end of the last cell that is whole at `now`.
    pub(crate) fn whole(self, now: i64, anchor: i64) -> i64 {
        if self.usual == 1 {
            now
        } else {
            self.end(now.saturating_add(1), anchor).saturating_sub(self.step_s)
        }
    }
}

/// A cell that samples still come to. Past and present are both read through it, so that they are read alike.
#[derive(Debug, Clone)]
pub(crate) struct Filling {
    usual: usize,
    given: Option<i64>,
    place: i64,
    time: i64,
    sum: f64,
    n: usize,
}

impl Filling {
    /// No sample yet.
    pub(crate) fn new(cells: Cells) -> Self {
        Self { usual: cells.usual, given: None, place: i64::MIN, time: i64::MIN, sum: 0.0, n: 0 }
    }

    /// The cell that samples come to, if any has come.
    pub(crate) fn place(&self) -> Option<i64> {
        (self.n > 0).then_some(self.place)
    }

    /// Takes a sample of the cell at `place`; gives the cell before, if that one is done by it, or its own, if that
    /// is full: the time of its last sample and its mean. What comes to a cell that was given is passed over.
    pub(crate) fn take(&mut self, place: i64, time: i64, value: f64) -> Option<(i64, f64)> {
        if self.given == Some(place) {
            return None;
        }
        let before = if place == self.place { None } else { self.rest() };
        self.place = place;
        self.time = time;
        self.sum += value;
        self.n += 1;
        // a cell of one sample is full at once, and none was left before it
        if before.is_none() && self.n >= self.usual { self.rest() } else { before }
    }

    /// What has come so far.
    pub(crate) fn rest(&mut self) -> Option<(i64, f64)> {
        if self.n == 0 {
            return None;
        }
        let mean = self.sum / self.n as f64;
        (self.given, self.sum, self.n) = (Some(self.place), 0.0, 0);
        Some((self.time, mean))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_a_minute_at_least_and_a_mean_covers_three() {
        for (spacing, step, cell, usual, width) in [
            (Some(10), 10, 60, 6, 3),
            (Some(15), 15, 60, 4, 3),
            (Some(58), 60, 60, 1, 3),
            (Some(120), 120, 120, 1, 2),
            (Some(300), 300, 300, 1, 1),
            (Some(60), 300, 300, 5, 1),
            (None, 30, 60, 2, 3),
            (Some(0), 0, 60, 60, 3),
        ] {
            let cells = Cells::of(spacing, step);
            assert_eq!(
                (cells.step_s, cells.usual, cells.width()),
                (cell, usual, width),
                "{spacing:?} {step}"
            );
        }
    }

    #[test]
    fn means_are_of_whole_cells_on_either_side_of_the_anchor() {
        let cells = Cells::of(Some(20), 20);
        let samples = vec![(20, 1.0), (40, 2.0), (60, 3.0), (80, 5.0), (140, 7.0), (160, 9.0), (180, 11.0)];
        let means = cells.means(samples, 60);
        assert_eq!(means, [(60, 2.0), (80, 5.0), (180, 9.0)]);
        assert_eq!((cells.place(60, 60), cells.place(61, 60), cells.place(120, 60)), (0, 1, 1));
        assert_eq!((cells.end(60, 60), cells.end(61, 60), cells.end(120, 60)), (60, 120, 120));
        assert_eq!((cells.whole(119, 60), cells.whole(120, 60), cells.whole(121, 60)), (60, 120, 120));
        let coarse = Cells::of(Some(60), 60);
        assert_eq!((coarse.end(61, 60), coarse.whole(61, 60)), (61, 61));
    }

    #[test]
    fn a_cell_that_is_full_does_not_wait_for_the_next() {
        let mut filling = Filling::new(Cells::of(Some(30), 30));
        assert_eq!(filling.take(1, 30, 1.0), None);
        assert_eq!(filling.take(1, 60, 3.0), Some((60, 2.0)));
        assert_eq!(filling.take(2, 90, 5.0), None);
        assert_eq!(filling.take(3, 150, 7.0), Some((90, 5.0)));
        assert_eq!(filling.place(), Some(3));
        assert_eq!(filling.rest(), Some((150, 7.0)));
        assert_eq!((filling.place(), filling.rest()), (None, None));
        assert_eq!(filling.take(3, 170, 9.0), None, "that one was given");
        assert_eq!(filling.place(), None);
    }

    #[test]
    fn samples_beyond_the_usual_number_are_passed_over_in_the_past_as_in_the_present() {
        for (spacing, times) in [(30, [10, 20, 30, 40, 50, 60, 70]), (60, [1, 59, 61, 118, 119, 125, 180])] {
            let cells = Cells::of(Some(spacing), 30);
            let samples: Vec<(i64, f64)> = times.iter().map(|time| (*time, *time as f64)).collect();
            let mut filling = Filling::new(cells);
            let mut present: Vec<(i64, f64)> = samples
                .iter()
                .filter_map(|&(time, value)| filling.take(cells.place(time, 0), time, value))
                .collect();
            present.extend(filling.rest());
            assert_eq!(cells.means(samples, 0), present);
            let places: Vec<i64> = present.iter().map(|(time, _)| cells.place(*time, 0)).collect();
            assert!(places.is_sorted_by(|a, b| a < b), "each cell once: {places:?}");
        }
    }
}
