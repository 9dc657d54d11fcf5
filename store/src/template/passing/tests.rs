//! What an automaton says of rows against the regex crate on their bodies.

use proptest::collection;
use proptest::prelude::{ProptestConfig, any, proptest};
use regex::bytes::RegexBuilder;

use crate::rows::shown;
use crate::template::Bits;
use crate::template::automaton::Automaton;
use crate::template::tests::{bodies, served, with_block};

/// Compares what is said of every row, and of every third alone; returns how many rows were decided.
#[track_caller]
fn check(bodies: &[Vec<u8>], pattern: &str, ignore_case: bool, as_shown: bool) -> usize {
    let Ok(regex) = RegexBuilder::new(pattern).case_insensitive(ignore_case).build() else { return 0 };
    let Some(automaton) = Automaton::new(pattern, ignore_case, as_shown) else { return 0 };
    let decided = with_block(bodies, |block| {
        let mut some = Bits::new(bodies.len());
        (0..bodies.len()).step_by(3).for_each(|row| some.set(row));
        let mut decided = 0;
        for wanted in [Bits::full(bodies.len()), some] {
            let (yes, unsure) = block.rows_passing(&automaton, &wanted).unwrap();
            for (row, body) in bodies.iter().enumerate() {
                if !wanted.has(row) {
                    assert!(!yes.has(row) && !unsure.has(row), "row {row} was not asked for");
                    continue;
                }
                let text = String::from_utf8_lossy(body);
                let matches = match as_shown {
                    true => regex.is_match(shown(body).as_bytes()),
                    false => regex.is_match(body),
                };
                assert!(!yes.has(row) || matches, "{pattern:?} does not match {text:?}");
                assert!(yes.has(row) || unsure.has(row) || !matches, "{pattern:?} matches {text:?}");
                decided += usize::from(!unsure.has(row));
            }
        }
        decided
    });
    decided.unwrap_or(0)
}

/// A pattern that is something like a piece of a body.
fn pattern(body: &[u8], (start, len, seed): (u32, u32, u64)) -> String {
    let start = start as usize % (body.len() + 1);
    let piece =
        String::from_utf8_lossy(&body[start..(start + len as usize % 16).min(body.len())]).into_owned();
    let mut pattern = String::new();
    let mut seed = seed;
    let mut next = |most: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % most
    };
    if next(8) == 0 {
        pattern.push('^');
    }
    for letter in piece.chars() {
        match next(14) {
            0 => pattern.push_str(".*"),
            1 => pattern.push('.'),
            2 if letter.is_ascii_digit() => pattern.push_str("\\d+"),
            3 if letter.is_ascii_digit() => pattern.push_str("[0-9]{1,3}"),
            4 if letter.is_alphabetic() => pattern.push_str("[a-z]+"),
            5 => pattern.push_str("(?:x|\\b)"),
            6 => pattern.push_str("[^ ]?"),
            7 => pattern.push_str("\\s*"),
            _ => pattern.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4]))),
        }
    }
    match next(10) {
        0 => pattern.push('$'),
        1 => pattern.push_str("|timeout"),
        2 => pattern.push_str("(?-u:\\xe9)"),
        3 => pattern.push_str("\\w"),
        _ => {}
    }
    pattern
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_row_is_judged_otherwise_than_its_body(
        bodies in bodies(),
        picks in collection::vec((any::<u32>(), any::<u32>(), any::<u32>(), any::<u64>(), any::<bool>(), any::<bool>()), 12),
    ) {
        for (row, start, len, seed, ignore_case, as_shown) in picks {
            let pattern = pattern(&bodies[row as usize % bodies.len()], (start, len, seed));
            check(&bodies, &pattern, ignore_case, as_shown);
        }
    }
}

#[test]
fn lines_of_one_shape_are_decided_without_their_bodies() {
    let bodies = served(900);
    for pattern in [
        "\"user\":\"u1[0-9]{2}\"",
        "path\":\"/cart/[0-9]{4}",
        "(?:orders|static)/.*u3",
        "^\\{.*ip\":\"10\\.0\\.[12]\\.7",
        "12:00:0[0-3]\\.\\d+Z",
        "[0-9a-f]{8}7f.*\\.7\"\\}$",
        "nowhere",
        "",
        "level|x",
        "\\binfo\\b",
        "(?i)INFO.*APP\\.JS",
        "\\s",
    ] {
        // all of them, and every third again
        assert_eq!(check(&bodies, pattern, false, true), 900 + 300, "{pattern}");
    }
}
