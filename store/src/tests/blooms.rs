//! Blooms of blocks of templates: numbers with and without a sign in one slot are different words.

use proptest::prelude::{ProptestConfig, proptest};
use proptest::{collection, sample};

use super::fixture::{NOW, SECOND};
use super::search::{Line, check};
use crate::LogRequest;
use crate::disk::faulty::Random;

/// Lines with a slot of `name-N`, and `nameN` in a few.
fn lines(name: &str, rows: usize, random: &mut Random, apart: &[(usize, u64)]) -> Vec<Line> {
    let line = |at: usize, random: &mut Random| {
        let number = random.below(5_000) + 10;
        let rare = apart.iter().find(|(row, _)| *row == at);
        let slot = match rare {
            Some((_, number)) => format!("{name}{number}"),
            None => format!("{name}-{number}"),
        };
        let body = format!("request of {slot} was answered after a while from the cache").into_bytes();
        Line { ts: NOW - at as i64 * SECOND / 10, workload: 0, level: "info", body }
    };
    (0..rows).map(|at| line(at, random)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_word_with_a_sign_hides_none_without(
        name in sample::select(&["utf", "node", "1e", "x", ""][..]),
        seed in 0_u64..1_000,
        apart in collection::vec((0_usize..3_000, 10_u64..100_000), 1..4),
    ) {
        let lines = lines(name, 3_000, &mut Random(seed), &apart);
        let mut requests = Vec::new();
        for (_, number) in &apart {
            for slot in [format!("{name}{number}"), format!("{name}-{number}")] {
                let request = LogRequest { limit: Some(20), ..LogRequest::default() };
                requests.push(LogRequest { words: vec![slot.clone().into_bytes()], ..request.clone() });
                requests.push(LogRequest { contains: vec![format!(" {slot} ").into_bytes()], ..request.clone() });
                requests.push(LogRequest { regexes: vec![format!(" {slot} ")], ..request });
            }
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(check(&lines, lines.len(), &requests));
    }
}
