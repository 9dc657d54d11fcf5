use std::collections::HashSet;
use std::sync::Arc;

use proptest::prelude::{ProptestConfig, proptest};
use proptest::{collection, prop_assert, prop_assert_eq};

use super::{BatchKey, Dedupe, KEEP_NS, MAX_RANGES, Seen};

fn key(seq: u64) -> BatchKey {
    BatchKey { node: Arc::from("node"), epoch: 1, seq }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn it_knows_what_a_plain_set_knows(seqs in collection::vec(0_u64..200, 0..300)) {
        let mut dedupe = Dedupe::default();
        let mut naive = HashSet::new();
        for seq in seqs {
            prop_assert_eq!(dedupe.contains(&key(seq)), naive.contains(&seq));
            dedupe.insert(&key(seq), 0);
            naive.insert(seq);
        }
        let again = Dedupe::from_entries(dedupe.entries());
        for seq in 0..200 {
            prop_assert_eq!(again.contains(&key(seq)), naive.contains(&seq));
        }
        for seen in again.entries() {
            prop_assert!(seen.ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }
    }
}

#[test]
fn in_order_it_stays_one_range() {
    let mut seen = Seen::default();
    (1..100_000).for_each(|seq| assert_eq!(seen.insert(seq), 0));
    assert_eq!(seen.ranges, [(1, 99_999)]);
}

#[test]
fn it_is_bounded_and_counts_the_gaps_it_closes() {
    let mut dedupe = Dedupe::default();
    (0..10_000).for_each(|seq| dedupe.insert(&key(seq * 2), 0));
    assert_eq!(dedupe.entries()[0].ranges.len(), MAX_RANGES);
    assert_eq!(dedupe.closed_gaps, 10_000 - MAX_RANGES as u64);
}

#[test]
fn the_extremes_do_not_overflow() {
    let mut seen = Seen::default();
    for seq in [u64::MAX, 0, u64::MAX - 1, 1] {
        seen.insert(seq);
    }
    assert_eq!(seen.ranges, [(0, 1), (u64::MAX - 1, u64::MAX)]);
}

#[test]
fn an_entry_leaves_a_week_after_its_last_batch() {
    let mut dedupe = Dedupe::default();
    dedupe.insert(&key(1), 10);
    dedupe.expire(KEEP_NS);
    assert!(dedupe.contains(&key(1)));
    dedupe.expire(KEEP_NS + 10);
    assert!(!dedupe.contains(&key(1)));
}
