//! Which of many harmful changes to wake somebody for: with enough changes, one of them looks harmful by chance.

use super::weigh::{Judgement, Verdict};
use crate::case::Case;
use crate::select::Stream;

/// Expected share of chance among all alarms, however many changes there are.
const Q: f64 = 0.05;

/// Marks the harmful changes that stand out among all of the case, taken in the order in which they began.
pub(super) fn alarms(facts: &Case, judged: &mut [Judgement]) {
    let mut order: Vec<usize> = (0..judged.len()).filter(|i| judged[*i].since.is_some()).collect();
    order.sort_by_key(|i| facts.changes[*i].start);
    let mut stream = Stream::new(Q);
    for i in order {
        let p = match (judged[i].verdict, &judged[i].weighed) {
            (Verdict::Harm, Some(weighed)) => weighed.p,
            _ => 1.0,
        };
        judged[i].alarm = stream.next(p);
    }
}
