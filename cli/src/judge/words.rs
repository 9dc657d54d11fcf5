//! Numbers, times and effects as people read them.

use effects::finding::{Direction, Finding};

/// A time as people write it.
pub(super) fn clock(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |t| t.to_string())
}

/// The size of an effect in words.
pub(super) fn size(finding: &Finding) -> String {
    let Some(size) = finding.size else {
        return format!("{} new pods, and not all of them report", finding.samples);
    };
    let name = finding.what.name();
    let (low, high) = size.interval;
    let percent = 100.0 * size.excess() / size.baseline.abs();
    // of next to nothing, a percentage says nothing
    let share = if percent.abs() < 1e4 { format!("{percent:+.0} %; ") } else { String::new() };
    format!(
        "{name} {} instead of {} ({share}95 % interval of the difference {} to {})",
        round(size.observed),
        round(size.baseline),
        round(low),
        round(high)
    )
}

/// When an effect began, as far as samples tell.
pub(super) fn since(finding: &Finding) -> String {
    finding.onset.map_or(String::new(), |(_, at)| format!(", first seen at {}", clock(at)))
}

/// What was large enough to be seen, had it lasted.
pub(super) fn detectable(finding: &Finding) -> Option<String> {
    let by = finding.detectable.filter(|_| finding.direction == Direction::Worse)?;
    let base = finding.size.map(|s| s.baseline).filter(|b| b.abs() > f64::MIN_POSITIVE)?;
    let sign = if by > 0.0 { "+" } else { "" };
    Some(format!("{} {sign}{} ({sign}{:.0} %)", finding.what.name(), round(by), 100.0 * by / base.abs()))
}

/// A probability; below one in a million no model is to be believed to the digit.
pub(super) fn probability(p: f64) -> String {
    if p < 1e-6 { "< 0.000001".to_owned() } else { round(p) }
}

/// Three significant digits.
pub(super) fn round(v: f64) -> String {
    if v == 0.0 || !v.is_finite() {
        return v.to_string();
    }
    let digits = (2 - v.abs().log10().floor() as i32).clamp(-300, 300);
    let unit = 10f64.powi(digits);
    let shown = (v * unit).round() / unit;
    if (1e-4..1e7).contains(&shown.abs()) { format!("{shown}") } else { format!("{shown:.2e}") }
}
