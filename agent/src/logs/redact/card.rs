//! Payment card numbers: 14 to 16 digits of a known issuer whose check digit (Luhn) is right.
//!
//! The rare Visa numbers of 13 and 19 digits are left out: ids of that length are far more common.

use std::ops::Range;

/// Calls `found` with the place of every card number.
///
/// Cards are written in groups of at least four digits, so looking at every fourth byte is enough to find one.
pub(super) fn find(text: &[u8], mut found: impl FnMut(Range<usize>)) {
    let mut at = 3;
    while at < text.len() {
        if !text[at].is_ascii_digit() {
            at += 4;
            continue;
        }
        let run = run(text, at);
        let next = run.end.max(at) + 4;
        if run.len() >= 14
            && stands_alone(text, &run)
            && let Some(end) = card(&text[run.clone()])
        {
            found(run.start..run.start + end);
        }
        at = next;
    }
}

/// Digits around `at`, with single spaces or dashes between them.
fn run(text: &[u8], at: usize) -> Range<usize> {
    let (mut start, mut end) = (at, at + 1);
    let separator = |byte: u8| byte == b' ' || byte == b'-';
    loop {
        match (start.checked_sub(1).map(|at| text[at]), start.checked_sub(2).map(|at| text[at])) {
            (Some(byte), _) if byte.is_ascii_digit() => start -= 1,
            (Some(byte), Some(before)) if separator(byte) && before.is_ascii_digit() => start -= 2,
            _ => break,
        }
    }
    loop {
        match (text.get(end), text.get(end + 1)) {
            (Some(byte), _) if byte.is_ascii_digit() => end += 1,
            (Some(&byte), Some(after)) if separator(byte) && after.is_ascii_digit() => end += 2,
            _ => break,
        }
    }
    start..end
}

fn stands_alone(text: &[u8], run: &Range<usize>) -> bool {
    let joins = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+/:".contains(&byte);
    let before = run.start.checked_sub(1).map(|at| text[at]);
    // a number is often followed by a full stop or a colon
    let after = text.get(run.end).copied();
    let before_joins = before.is_some_and(|byte| joins(byte) && byte != b':');
    !before_joins && !after.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// If the run is one card number in one of the ways they are written, its length in bytes.
fn card(run: &[u8]) -> Option<usize> {
    let groups: Vec<usize> = run.split(|byte| !byte.is_ascii_digit()).map(<[u8]>::len).collect();
    let usual = matches!(groups[..], [_] | [4, 4, 4, 4] | [4, 6, 4 | 5]);
    if !usual {
        return None;
    }
    let mut digits = [0_u8; 16];
    let mut count = 0;
    for byte in run.iter().filter(|byte| byte.is_ascii_digit()) {
        *digits.get_mut(count)? = byte - b'0';
        count += 1;
    }
    let digits = &digits[..count];
    (is_issued(digits) && luhn(digits)).then_some(run.len())
}

/// Issuers' first digits with the lengths that they use.
fn is_issued(digits: &[u8]) -> bool {
    let first = |count: usize| digits[..count].iter().fold(0_u32, |sum, &digit| sum * 10 + u32::from(digit));
    match digits.len() {
        14 => matches!(first(3), 300..=305 | 360..=369 | 380..=389),
        15 => matches!(first(2), 34 | 37),
        16 => {
            digits[0] == 4
                || matches!(first(2), 51..=55 | 62 | 65)
                || matches!(first(4), 2221..=2720 | 3528..=3589 | 6011)
                || matches!(first(3), 644..=649)
        }
        _ => false,
    }
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, &digit)| match (index % 2, u32::from(digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}
