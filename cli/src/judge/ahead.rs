//! A limit that lies ahead: will growth since the change meet it?

use effects::case::{Case, Signal};
use effects::warning::{Warning, limit_ahead};
use serde_json::{Value, json};

/// What is further away than a day, somebody will see without us.
const WITHIN_S: f64 = 86_400.0;

/// The warning of an export's one series since its change; `None` where it does not grow towards the limit.
pub(super) fn warning(case: &Case, limit: f64) -> Option<Warning> {
    let (change, series) = (case.changes.first()?, case.series.first()?);
    let since = series.samples.iter().filter(|s| s.0 > change.start && s.0 <= change.observe_until);
    let samples: Vec<(f64, f64)> = since.map(|(t, v)| ((t - change.start) as f64, *v)).collect();
    limit_ahead(&samples, limit, WITHIN_S)
}

/// As a sentence.
pub(super) fn text(signal: Signal, limit: f64, ahead: Warning) -> String {
    let hours = |seconds: f64| format!("{:.1} h", seconds / 3_600.0);
    let latest = if ahead.latest_s.is_finite() { hours(ahead.latest_s) } else { "never".to_owned() };
    format!(
        "**Ahead.** {} grows by {:.3e} per hour and meets {limit} in {} (between {} and {latest}).\n",
        signal.name(),
        ahead.slope * 3_600.0,
        hours(ahead.in_s),
        hours(ahead.earliest_s)
    )
}

/// For programs; null without a warning.
pub(super) fn json(ahead: Option<Warning>) -> Value {
    ahead.map_or(Value::Null, |w| {
        json!({
            "value": w.value,
            "per_second": w.slope,
            "meets_limit_in_s": w.in_s,
            "earliest_s": w.earliest_s,
            "latest_s": if w.latest_s.is_finite() { json!(w.latest_s) } else { Value::Null },
        })
    })
}
