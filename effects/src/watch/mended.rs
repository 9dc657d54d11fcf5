//! What an action mended of what was broken when it was taken: the lines of its workload, before and after.

use crate::case::{Case, Change, ChangeKind};
use crate::effectiveness::{Score, Target, effectiveness};
use crate::probe::Probe;
use crate::samples::Samples;
use crate::stats::robust::{deviation, median};

const DAY_S: i64 = 86_400;
/// The same clock of earlier days, half an hour either way, says what is healthy.
const AROUND_S: i64 = 1_800;
/// Fewer healthy values give no level.
const FEWEST: usize = 6;
/// What the action answered: the quarter of an hour before it.
const BROKEN_S: i64 = 900;
/// Where whoever acted saw the trouble begin.
const HOUR_S: i64 = 3_600;
/// A line beyond two deviations of its healthy self is broken.
const BROKEN: f64 = 2.0;

/// Whether people and controllers take actions of this kind to mend something.
pub(super) fn mends(kind: ChangeKind) -> bool {
    matches!(kind, ChangeKind::Rollback | ChangeKind::Restart | ChangeKind::Scale)
}

/// The score of an action of a kind that people and controllers take to mend something; `None` for other kinds, and
/// where nothing was broken. `silent`: new pods do not report.
pub(super) fn mended<'a>(
    facts: &Case,
    samples: &Samples,
    change: &Change,
    lines: impl Iterator<Item = &'a Probe>,
    now: i64,
    silent: bool,
) -> Option<Score> {
    if !mends(change.kind) {
        return None;
    }
    let targets: Vec<Target> =
        lines.filter_map(|line| target(facts, samples, change.start, line, now)).collect();
    effectiveness(&targets, !silent)
}

fn target(facts: &Case, samples: &Samples, start: i64, line: &Probe, now: i64) -> Option<Target> {
    let values = |from: i64, to: i64| line.values(facts, samples, (from, to));
    let mut usual: Vec<f64> = Vec::new();
    for day in 1..=7 {
        usual.extend(values(start - day * DAY_S - AROUND_S, start - day * DAY_S + AROUND_S));
    }
    if usual.len() < FEWEST {
        usual = values(i64::MIN, start - HOUR_S);
    }
    if usual.len() < FEWEST {
        return None;
    }
    let floor = line.floor().max(BROKEN * deviation(|| usual.iter().copied()));
    let healthy = median(&mut usual)?;
    let quarters: Vec<f64> = (0..4)
        .filter_map(|q| {
            let quarter = values(start - (q + 1) * BROKEN_S, start - q * BROKEN_S);
            median(&mut quarter.clone()).map(|m| line.side().part(m - healthy))
        })
        .collect();
    let worst = quarters.iter().copied().fold(0.0, f64::max);
    // better than expected is not broken
    let broken = quarters.first().is_some_and(|last| *last > floor);
    broken.then(|| Target {
        healthy,
        before: values(start - BROKEN_S, start),
        after: values(start, now),
        floor,
        recovering: quarters.first().is_some_and(|last| *last < worst / 2.0),
    })
}
