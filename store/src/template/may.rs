//! Whether a column may have a value that passes a test, by what its head says: false is certain, and no stream is read.

use super::DIGITS;
use super::find::Test;
use super::head::{Column, Shaped};
use super::split::marks;

/// Whether a column may have a value that passes.
pub(super) fn may(column: &Column, test: Test<'_>) -> bool {
    match column {
        Column::One(value) => test.passes(value),
        Column::Of { entries, .. } => {
            let within = !test.start && !test.end && !test.fold;
            if within && test.finder.find(entries.all()).is_none() {
                return false;
            }
            entries.iter().any(|entry| test.passes(entry))
        }
        Column::Integer { prefix, suffix, digits, numbers } if prefix.is_empty() && suffix.is_empty() => {
            let number = test
                .text
                .iter()
                .enumerate()
                .all(|(at, byte)| byte.is_ascii_digit() || (*byte == b'-' && at == 0));
            let most = numbers.longest().max(*digits + 1);
            number && test.text.len() <= most && (!test.is_whole() || test.text.len() >= *digits)
        }
        Column::Integer { prefix, suffix, digits, numbers } => {
            affixed_may(prefix, suffix, numbers.longest().max(*digits), test)
        }
        Column::Hex { hex, .. } => {
            let digit = |byte: &u8| match byte {
                b'0'..=b'9' => true,
                b'-' => hex.uuid,
                b'A'..=b'F' => hex.upper || test.fold,
                b'a'..=b'f' => !hex.upper || test.fold,
                _ => false,
            };
            let len = if hex.uuid { 36 } else { hex.len };
            test.text.iter().all(digit)
                && test.text.len() <= len
                && (!test.is_whole() || test.text.len() == len)
        }
        Column::Shaped(shaped) => shaped_may(shaped, test),
        Column::Time { format, .. } => format.may_hold(test.text, test.fold),
        Column::Text { .. } => true,
    }
}

/// Whether a text may lie in a number with something before and behind it.
fn affixed_may(prefix: &[u8], suffix: &[u8], longest: usize, test: Test<'_>) -> bool {
    let same = |one: &[u8], other: &[u8]| {
        if test.fold { one.eq_ignore_ascii_case(other) } else { one == other }
    };
    let begins = |text: &[u8], with: &[u8]| text.get(..with.len()).is_some_and(|text| same(text, with));
    let text = test.text;
    for from in 0..=prefix.len() {
        let before = &prefix[from..];
        if begins(before, text) {
            return true;
        }
        if begins(text, before) {
            let number = &text[before.len()..];
            let number = number.strip_prefix(b"-").unwrap_or(number);
            let digits = number.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits <= longest && begins(suffix, &number[digits..]) {
                return true;
            }
        }
    }
    suffix.windows(text.len().max(1)).any(|window| same(window, text))
}

/// Whether some shape may have it: a byte that is in none of its texts and in no slot cannot be there.
fn shaped_may(shaped: &Shaped, test: Test<'_>) -> bool {
    shaped.templates.iter().any(|template| {
        let any = marks(&template.text).zip(&template.columns).any(|(mark, column)| {
            mark != DIGITS && !matches!(column, Column::Integer { .. } | Column::Hex { .. })
        });
        any || test.text.iter().all(|byte| {
            byte.is_ascii_hexdigit()
                || matches!(byte, b'-')
                || template.text.iter().any(|known| known.eq_ignore_ascii_case(byte))
                || template.columns.iter().any(|column| affix_has(column, *byte))
        })
    })
}

fn affix_has(column: &Column, byte: u8) -> bool {
    match column {
        Column::Integer { prefix, suffix, .. } => {
            prefix.iter().chain(suffix).any(|known| known.eq_ignore_ascii_case(&byte))
        }
        _ => false,
    }
}
