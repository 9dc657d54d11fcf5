//! The largest values of a growing set, in fixed space.

/// The largest `capacity` values, largest first. Taking one is constant work for most values: those smaller than
/// all that are kept.
#[derive(Debug, Clone)]
pub(super) struct Top {
    capacity: usize,
    kept: Vec<f64>,
}

impl Top {
    /// Room for `capacity` values, at least one.
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self { capacity, kept: Vec::with_capacity(capacity) }
    }

    /// Forgets all values.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }

    /// Takes a value that is not NaN.
    pub(super) fn push(&mut self, value: f64) {
        if self.kept.len() == self.capacity {
            if self.kept.last().is_some_and(|least| *least >= value) {
                return;
            }
            self.kept.pop();
        }
        let at = self.kept.partition_point(|kept| *kept > value);
        self.kept.insert(at, value);
    }

    /// Mean of the `k` largest values: at least one, at most all that are kept; 0 of none.
    pub(super) fn mean(&self, k: usize) -> f64 {
        if self.kept.is_empty() {
            return 0.0;
        }
        let k = k.clamp(1, self.kept.len());
        self.kept[..k].iter().sum::<f64>() / k as f64
    }
}

#[cfg(test)]
mod tests {
    use super::Top;
    use crate::simulate::Rng;
    use crate::stats::robust::top_mean;

    #[test]
    fn the_mean_is_that_of_sorting_everything() {
        let mut rng = Rng::new(3);
        let mut top = Top::new(20);
        let mut all = Vec::new();
        for _ in 0..500 {
            let value = (rng.normal() * 4.0).round().abs();
            top.push(value);
            all.push(value);
            for k in [1, 2, 7, 20] {
                let sorted = top_mean(&mut all.clone(), k);
                assert!((top.mean(k) - sorted).abs() < 1e-12, "{k} of {}", all.len());
            }
        }
    }
}
