//! The order of changes: who is the likeliest culprit.

use super::weigh::Judgement;
use crate::case::Case;

/// Orders the changes by how likely each is the culprit: by evidence, then by hints, then by time.
pub(super) fn rank(facts: &Case, mut judged: Vec<Judgement>) -> Vec<Judgement> {
    // evidence that would not move anybody orders nothing
    const MOVES: f64 = 0.05;
    let key = |j: &Judgement| {
        let weighed = j.weighed.as_ref();
        let p = weighed.map_or(1.0, |w| w.p);
        let hint = weighed.map_or(1.0, |w| w.hint);
        let blame = weighed.map_or(0.0, |w| w.blame);
        let now = weighed
            .map_or(0.0, |w| w.own.iter().filter(|o| o.1.is_none()).map(|o| o.0.now).fold(0.0, f64::max));
        if p <= MOVES { (0, p, -now) } else { (1, (1.0 - blame) * hint, p) }
    };
    let mut order: Vec<usize> = (0..judged.len()).collect();
    order.sort_by(|&a, &b| {
        let (x, y) = (key(&judged[a]), key(&judged[b]));
        x.0.cmp(&y.0)
            .then(x.1.total_cmp(&y.1))
            .then(x.2.total_cmp(&y.2))
            .then(facts.changes[a].start.cmp(&facts.changes[b].start))
    });
    for (place, i) in order.into_iter().enumerate() {
        judged[i].rank = place + 1;
    }
    judged
}
