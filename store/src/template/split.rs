//! Splitting text into what stays and what varies: the slots of a line, and of a value within a line.
//!
//! A slot begins and ends where a token of the blooms does, except for [`DIGITS`] slots, which may stand within one.

use super::{DIGITS, MAX_SLOTS, SLOT};

/// A slot: where it lies, and which mark stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) mark: u8,
}

const BREAK: u8 = 0;
const LETTER: u8 = 1;
const DIGIT: u8 = 2;
/// Joins words to one value if there are word bytes on both sides.
const JOINER: u8 = 4;
/// A joiner that makes a value of what it joins: paths, addresses, dotted names.
const STRONG: u8 = 8;
const QUOTE: u8 = 16;

const CLASS: [u8; 256] = {
    let mut table = [BREAK; 256];
    let mut byte = 0;
    while byte < 256 {
        let value = byte as u8;
        table[byte] = match value {
            b'0'..=b'9' | SLOT | DIGITS => DIGIT,
            b'a'..=b'z' | b'A'..=b'Z' | 0x80.. => LETTER,
            b'-' | b'_' | b'+' | b'%' | b'~' | b'#' | b'$' => JOINER,
            b'.' | b'/' | b':' | b'@' | b'\\' => JOINER | STRONG,
            b'"' => QUOTE,
            _ => BREAK,
        };
        byte += 1;
    }
    table
};

#[inline]
fn class(byte: u8) -> u8 {
    CLASS[byte as usize]
}

#[inline]
fn small(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// The slots of a line of a log: words with digits, paths and dotted names, quoted text, values after `=` and `":`.
pub(super) fn line(text: &[u8], slots: &mut Vec<Slot>) {
    slots.clear();
    let mut at = 0;
    while at < text.len() {
        let kind = class(text[at]);
        if kind == BREAK {
            at += 1;
            continue;
        }
        if slots.len() + 1 == MAX_SLOTS {
            slots.push(Slot { start: small(at), end: small(text.len()), mark: SLOT });
            return;
        }
        if kind == QUOTE {
            at = quoted(text, at, slots);
            continue;
        }
        let (end, flags) = compound(text, at);
        let start = match text[at] {
            b':' | b'_' | b'%' if flags & (LETTER | DIGIT) != 0 => at + 1,
            _ => at,
        };
        let mut last = end;
        while last > start && class(text[last - 1]) & JOINER != 0 {
            last -= 1;
        }
        if last > start && (flags & DIGIT != 0 || is_value(text, start) || is_joined(&text[start..last])) {
            slots.push(Slot { start: small(start), end: small(last), mark: SLOT });
        }
        at = end;
    }
}

/// Where the words that begin at `at` end, and of what classes their bytes are.
#[inline]
fn compound(text: &[u8], at: usize) -> (usize, u8) {
    let (mut end, mut flags) = (at, 0);
    while end < text.len() {
        let kind = class(text[end]);
        if kind & (LETTER | DIGIT | JOINER) == 0 {
            // 1,234 and 12:00:00,123
            let digits = text[end] == b','
                && end > at
                && text[end - 1].is_ascii_digit()
                && text.get(end + 1).is_some_and(u8::is_ascii_digit);
            if !digits {
                break;
            }
        }
        flags |= kind;
        end += 1;
    }
    (end, flags)
}

/// Whether what begins at `at` is the value of a key.
#[inline]
fn is_value(text: &[u8], at: usize) -> bool {
    match at.checked_sub(1).map(|before| text[before]) {
        Some(b'=') => true,
        Some(b':') => at >= 2 && text[at - 2] == b'"',
        Some(b' ') => at >= 3 && text[at - 2] == b':' && text[at - 3] == b'"',
        _ => false,
    }
}

/// Whether a word without digits is a path, an address or a dotted name.
#[inline]
fn is_joined(word: &[u8]) -> bool {
    word.len() > 2 && word.iter().any(|byte| class(*byte) & STRONG != 0)
}

/// A quoted text is one slot, unless it is a key; returns where to go on.
fn quoted(text: &[u8], at: usize, slots: &mut Vec<Slot>) -> usize {
    let start = at + 1;
    let mut end = start;
    loop {
        match memchr::memchr2(b'"', b'\\', &text[end..]) {
            Some(found) if text[end + found] == b'"' => {
                end += found;
                break;
            }
            Some(found) if end + found + 1 < text.len() => end += found + 2,
            _ => return start,
        }
    }
    if text.get(end + 1) == Some(&b':') && !text[start..end].iter().any(|byte| *byte <= DIGITS) {
        return end + 2;
    }
    slots.push(Slot { start: small(start), end: small(end), mark: SLOT });
    end + 1
}

/// The slots of a value: its numbers, and words that mix digits and letters.
pub(super) fn value(text: &[u8], slots: &mut Vec<Slot>) {
    slots.clear();
    let mut at = 0;
    while at < text.len() {
        if class(text[at]) & (LETTER | DIGIT) == 0 {
            at += 1;
            continue;
        }
        let start = at;
        let (mut flags, mut runs, mut digits) = (0, 0, (0, 0));
        let (mut hex, mut marks) = (true, false);
        while at < text.len() && class(text[at]) & (LETTER | DIGIT) != 0 {
            let kind = class(text[at]);
            if kind == DIGIT {
                if at == start || class(text[at - 1]) != DIGIT {
                    runs += 1;
                    digits.0 = at;
                }
                digits.1 = at + 1;
            }
            marks |= text[at] <= DIGITS;
            hex &= text[at].is_ascii_hexdigit();
            flags |= kind;
            at += 1;
        }
        if flags & DIGIT == 0 {
            continue;
        }
        if slots.len() + 1 == MAX_SLOTS {
            slots.push(Slot { start: small(start), end: small(text.len()), mark: SLOT });
            return;
        }
        let mixed = marks || runs > 1 || (hex && flags & LETTER != 0 && at - start >= 4);
        let slot = match mixed {
            true => Slot { start: small(start), end: small(at), mark: SLOT },
            false => Slot { start: small(digits.0), end: small(digits.1), mark: DIGITS },
        };
        slots.push(slot);
    }
}

/// Writes the template of a text: its slots replaced by their marks.
#[inline]
pub(super) fn mask(text: &[u8], slots: &[Slot], template: &mut Vec<u8>) {
    template.clear();
    let mut from = 0;
    for slot in slots {
        template.extend_from_slice(&text[from..slot.start as usize]);
        template.push(slot.mark);
        from = slot.end as usize;
    }
    template.extend_from_slice(&text[from..]);
}

/// The texts between the slots of a template, one more than there are slots.
pub(super) fn literals(template: &[u8]) -> impl Iterator<Item = &[u8]> {
    template.split(|byte| *byte <= DIGITS)
}

/// The marks of a template's slots.
pub(super) fn marks(template: &[u8]) -> impl Iterator<Item = u8> {
    template.iter().copied().filter(|byte| *byte <= DIGITS)
}
