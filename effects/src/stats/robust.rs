//! Order statistics that a few wild values do not move.

/// The `q` quantile by linear interpolation between order statistics (type 7 of Hyndman and Fan, The American
/// Statistician 1996); `None` for no values. Reorders `values`; NaN must not occur.
pub fn quantile(values: &mut [f64], q: f64) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let at = q.clamp(0.0, 1.0) * (values.len() - 1) as f64;
    let low = at as usize;
    let (_, &mut a, above) = values.select_nth_unstable_by(low, f64::total_cmp);
    let part = at - low as f64;
    if part == 0.0 {
        return Some(a);
    }
    let b = above.iter().copied().min_by(f64::total_cmp).unwrap_or(a);
    Some(a + (b - a) * part)
}

/// The median; `None` for no values. Reorders `values`.
pub fn median(values: &mut [f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// Median absolute deviation from the median, times 1.4826: the standard deviation if the values are normal.
pub fn spread(values: &mut [f64]) -> Option<f64> {
    let centre = median(values)?;
    let mut off: Vec<f64> = values.iter().map(|v| (v - centre).abs()).collect();
    median(&mut off).map(|m| 1.4826 * m)
}

/// Standard deviation, which unlike [`spread`] grows with every wild value; 0 of none.
pub fn deviation<I: Iterator<Item = f64>>(values: impl Fn() -> I) -> f64 {
    let (n, sum) = values().fold((0.0, 0.0), |(n, sum), v| (n + 1.0, sum + v));
    let n = f64::max(n, 1.0);
    (values().map(|v| (v - sum / n).powi(2)).sum::<f64>() / n).sqrt()
}

/// Mean of the `k` largest values (at least one, at most all). Reorders `values`; 0 for none.
pub fn top_mean(values: &mut [f64], k: usize) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let k = k.clamp(1, values.len());
    values.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    values[..k].iter().sum::<f64>() / k as f64
}

/// Theil–Sen slope: median slope over all pairs of points (Sen, JASA 1968). `None` below two distinct times.
#[must_use]
pub fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let mut all = Vec::new();
    for (i, a) in points.iter().enumerate() {
        for b in &points[i + 1..] {
            if a.0 != b.0 {
                all.push((b.1 - a.1) / (b.0 - a.0));
            }
        }
    }
    median(&mut all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_statistics_of_small_sets() {
        // numpy.quantile([3, 1, 2, 5], [.5, .95]) = 2.5, 4.7
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0, 5.0], 0.5), Some(2.5));
        assert!((quantile(&mut [3.0, 1.0, 2.0, 5.0], 0.95).unwrap() - 4.7).abs() < 1e-12);
        assert_eq!(median(&mut []), None);
        assert_eq!(top_mean(&mut [1.0, 9.0, 5.0], 2), 7.0);
        assert_eq!(top_mean(&mut [1.0], 5), 1.0);
        // scipy.stats.median_abs_deviation([1,2,3,4,100], scale=1/1.4826) = 1.4826
        assert!((spread(&mut [1.0, 2.0, 3.0, 4.0, 100.0]).unwrap() - 1.4826).abs() < 1e-12);
    }

    #[test]
    fn a_slope_ignores_one_wild_value() {
        assert_eq!(slope(&[(0.0, 0.0), (1.0, 2.0), (2.0, 4.0), (3.0, 6.0), (4.0, 600.0)]), Some(2.0));
        assert_eq!(slope(&[(1.0, 1.0)]), None);
    }
}
