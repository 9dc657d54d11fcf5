//! Writing the values of a slot in the way that suits them: one for all, times, numbers, hex, words, shapes, text.

use super::head::{HEX, INTEGER, OF, ONE, SHAPED, TEXT, TIME};
use super::integer::{plane, planes_cost, push_bytes, push_varint, width, zigzag};
use super::pack::Streams;
use super::time::{Format, Kind};
use super::values::Interner;
use super::{DIGITS, encode};
use crate::rows::Texts;
use crate::search::is_token_byte;
use crate::segment::Tokens;

/// More different values than this are no dictionary.
const MAX_ENTRIES: usize = 32_768;
/// Bytes of all entries of a dictionary.
const MAX_ENTRY_TEXT: usize = 256 << 10;
/// Fewer values are not worth a search for the best encoding.
const FEW: usize = 16;

/// What a block is written to: its head, its streams and the tokens that its text has.
#[derive(Debug, Default)]
pub(super) struct Sink {
    pub(super) head: Vec<u8>,
    pub(super) streams: Streams,
    pub(super) tokens: Tokens,
}

/// Where a column stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The records' times, for columns of lines.
    pub(super) times: Option<&'a [i64]>,
    /// Whether values may be split into shapes.
    pub(super) shapes: bool,
    /// The mark of the slot.
    pub(super) mark: u8,
}

impl Sink {
    /// Writes numbers: as they are, above the least, or as steps.
    pub(super) fn numbers(&mut self, numbers: &[i64], steps: bool) {
        let base = numbers.first().copied().unwrap_or(0);
        let (mut low, mut high) = (base, base);
        let (mut low_step, mut high_step) = (0_i64, 0_i64);
        let (mut bits, mut step_bits) = (0_u64, 0_u64);
        let mut before = base;
        for number in numbers {
            (low, high) = (low.min(*number), high.max(*number));
            if steps {
                let step = number.wrapping_sub(before);
                (low_step, high_step) = (low_step.min(step), high_step.max(step));
                step_bits += u64::from(64 - zigzag(step).leading_zeros());
                before = *number;
            }
        }
        if steps {
            bits = numbers
                .iter()
                .map(|number| u64::from(64 - (number.wrapping_sub(low)).cast_unsigned().leading_zeros()))
                .sum();
        }
        let spread = |low: i64, high: i64| width(high.wrapping_sub(low).cast_unsigned());
        let delta = steps && step_bits + numbers.len() as u64 / 2 < bits;
        let (low, width) =
            if delta { (low_step, spread(low_step, high_step)) } else { (low, spread(low, high)) };
        self.head.push(width as u8 | u8::from(delta) << 4);
        push_varint(&mut self.head, zigzag(if delta { base } else { 0 }));
        push_varint(&mut self.head, zigzag(low));
        let mut before = base;
        let stored: Vec<u64> = numbers
            .iter()
            .map(|number| {
                let from = if delta { std::mem::replace(&mut before, *number) } else { 0 };
                number.wrapping_sub(from).wrapping_sub(low).cast_unsigned()
            })
            .collect();
        for at in 0..width {
            plane(&stored, at, &mut self.streams.bytes);
            self.streams.end();
        }
    }

    /// Writes a column.
    pub(super) fn column(&mut self, values: &Texts, place: Place<'_>) {
        let first = if values.len() == 0 { &b""[..] } else { values.get(0) };
        if values.iter().all(|value| value == first) {
            self.head.push(ONE);
            push_bytes(&mut self.head, first);
            self.known(first, place);
            return;
        }
        if self.time(values, place) || self.integer(values, place) || self.hex(values, place) {
            return;
        }
        let words = Words::of(values);
        if let Some(words) = &words
            && (words.entries.len() * 8 <= values.len() || values.len() <= FEW)
        {
            return self.words(words, place);
        }
        if place.shapes && values.len() > FEW && encode::shaped_values(self, values) {
            return;
        }
        match words {
            Some(words) if words.entries.len() * 3 <= values.len() => self.words(&words, place),
            _ => self.text(values, place),
        }
    }

    fn known(&mut self, text: &[u8], place: Place<'_>) {
        if place.mark != DIGITS {
            self.tokens.add_text(text);
        }
    }

    fn time(&mut self, values: &Texts, place: Place<'_>) -> bool {
        let Some(times) = place.times else { return false };
        let Some(format) = Format::of(values.get(0)) else { return false };
        let mut ticks = Vec::with_capacity(values.len());
        for value in values.iter() {
            let Some(tick) = format.parse(value) else { return false };
            ticks.push(tick);
        }
        let relative: Vec<i64> =
            ticks.iter().zip(times).map(|(tick, record)| format.relative(*tick, *record)).collect();
        let bits = |numbers: &mut dyn Iterator<Item = i64>| -> u64 {
            numbers.map(|number| u64::from(64 - zigzag(number).leading_zeros())).sum()
        };
        let low = relative.iter().copied().min().unwrap_or(0);
        let near = bits(&mut relative.iter().map(|apart| apart.wrapping_sub(low)));
        let steps = bits(&mut ticks.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));
        self.head.push(TIME);
        self.head.push(match format.kind {
            Kind::Date => 0,
            Kind::Clock => 1,
            Kind::Access => 2,
        });
        self.head.extend_from_slice(&[format.between, format.point, format.digits]);
        push_bytes(&mut self.head, &format.suffix);
        self.head.push(u8::from(near <= steps));
        self.numbers(if near <= steps { &relative } else { &ticks }, true);
        self.tokens.add_masked(values.get(0), values.get(0).len());
        if format.kind == Kind::Access {
            self.tokens.add_text(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec");
        }
        true
    }

    fn integer(&mut self, values: &Texts, place: Place<'_>) -> bool {
        let first = values.get(0);
        let (mut prefix, mut suffix) = (first.len(), first.len());
        let mut digits = usize::MAX;
        for value in values.iter() {
            prefix = common(first[..prefix].iter(), value.iter());
            suffix = common(first[first.len() - suffix..].iter().rev(), value.iter().rev());
            if prefix == 0 && suffix == 0 && !first.first().is_some_and(|byte| is_numeric(*byte)) {
                return false;
            }
        }
        while prefix > 0 && is_numeric(first[prefix - 1]) {
            prefix -= 1;
        }
        while suffix > 0 && first[first.len() - suffix].is_ascii_digit() {
            suffix -= 1;
        }
        for value in values.iter() {
            let Some(middle) = value.len().checked_sub(prefix + suffix) else { return false };
            let signed = usize::from(value.get(prefix) == Some(&b'-'));
            digits = digits.min(middle.saturating_sub(signed));
        }
        if digits == 0 || digits > 18 {
            return false;
        }
        let is_signed = |value: &[u8]| value.get(prefix) == Some(&b'-');
        let signed = values.iter().filter(|value| is_signed(value)).count();
        if signed > 0 && signed < values.len() && prefix > 0 && is_token_byte(first[prefix - 1]) {
            // `utf-8` and `utf8`: not the digits alone differ, but the tokens
            return false;
        }
        let mut numbers = Vec::with_capacity(values.len());
        for value in values.iter() {
            match parse(&value[prefix..value.len() - suffix], digits) {
                Some(number) => numbers.push(number),
                None => return false,
            }
        }
        if self.frequent(values, &numbers, place) {
            return true;
        }
        self.head.push(INTEGER);
        push_bytes(&mut self.head, &first[..prefix]);
        push_bytes(&mut self.head, &first[first.len() - suffix..]);
        push_varint(&mut self.head, digits as u64);
        self.numbers(&numbers, true);
        if place.mark != DIGITS {
            // a sign is part of no token
            let unsigned = |value: &[u8]| value.len() - usize::from(is_signed(value));
            let longest = values.iter().map(unsigned).max().unwrap_or(0);
            self.tokens.add_masked(first, longest + usize::from(is_signed(first)));
        }
        true
    }

    /// Numbers of which some are frequent are better kept as a dictionary.
    fn frequent(&mut self, values: &Texts, numbers: &[i64], place: Place<'_>) -> bool {
        let low = numbers.iter().copied().min().unwrap_or(0);
        let high = numbers.iter().copied().max().unwrap_or(0);
        let wide = width(high.wrapping_sub(low).cast_unsigned());
        if wide < 2 || numbers.len() < 256 {
            return false;
        }
        let sample: Vec<u64> =
            numbers.iter().take(8_192).map(|number| number.wrapping_sub(low).cast_unsigned()).collect();
        let mut distinct = sample.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() * 4 > sample.len() {
            return false;
        }
        let Some(words) = Words::of(values) else { return false };
        let ids: Vec<u64> = words.ids.iter().map(|id| u64::from(*id)).collect();
        let all: Vec<u64> = numbers.iter().map(|number| number.wrapping_sub(low).cast_unsigned()).collect();
        let steps = numbers.windows(2).filter(|pair| pair[0] <= pair[1]).count();
        let ordered = steps * 8 > numbers.len() * 7;
        let as_words = planes_cost(&ids, width(words.entries.len() as u64))
            + words.entries.all().len() / 2
            + words.entries.len();
        if ordered || as_words >= planes_cost(&all, wide) {
            return false;
        }
        self.words(&words, place);
        true
    }

    fn hex(&mut self, values: &Texts, place: Place<'_>) -> bool {
        let first = values.get(0);
        let uuid = first.len() == 36 && first[8] == b'-';
        if first.len() < 4 || first.iter().any(|byte| !byte.is_ascii_hexdigit() && (*byte != b'-' || !uuid)) {
            return false;
        }
        let (mut upper, mut lower) = (false, false);
        for value in values.iter() {
            if value.len() != first.len() {
                return false;
            }
            for (at, byte) in value.iter().enumerate() {
                match byte {
                    b'0'..=b'9' => {}
                    b'a'..=b'f' => lower = true,
                    b'A'..=b'F' => upper = true,
                    b'-' if uuid && is_dash(at) => continue,
                    _ => return false,
                }
                if uuid && is_dash(at) {
                    return false;
                }
            }
        }
        if upper && lower {
            return false;
        }
        self.head.push(HEX);
        let digits = if uuid { 32 } else { first.len() };
        push_varint(&mut self.head, digits as u64);
        self.head.push(u8::from(upper) | u8::from(uuid) << 1);
        for value in values.iter() {
            let (mut high, mut odd) = (0, false);
            for byte in value.iter().filter(|byte| **byte != b'-') {
                let digit = match byte {
                    b'0'..=b'9' => byte - b'0',
                    _ => (byte | 0x20) - b'a' + 10,
                };
                if odd {
                    self.streams.bytes.push(high << 4 | digit);
                }
                (high, odd) = (digit, !odd);
            }
            if odd {
                self.streams.bytes.push(high << 4);
            }
            self.known(value, place);
        }
        self.streams.end();
        true
    }

    fn words(&mut self, words: &Words, place: Place<'_>) {
        self.head.push(OF);
        push_varint(&mut self.head, words.entries.len() as u64);
        for entry in words.entries.iter() {
            push_bytes(&mut self.head, entry);
            self.known(entry, place);
        }
        let ids: Vec<i64> = words.ids.iter().map(|id| i64::from(*id)).collect();
        self.numbers(&ids, words.in_order);
    }

    fn text(&mut self, values: &Texts, place: Place<'_>) {
        self.head.push(TEXT);
        let lens: Vec<i64> = values.iter().map(|value| value.len() as i64).collect();
        self.numbers(&lens, false);
        self.streams.bytes.extend_from_slice(values.all());
        self.streams.end();
        values.iter().for_each(|value| self.known(value, place));
    }

    pub(super) fn shaped(&mut self) {
        self.head.push(SHAPED);
    }
}

/// Different values, the frequent first, and which of them each is.
struct Words {
    entries: Texts,
    ids: Vec<u32>,
    /// The entries are in the order they came in: neighbours repeat each other.
    in_order: bool,
}

impl Words {
    fn of(values: &Texts) -> Option<Self> {
        let mut interner = Interner::default();
        let mut counts: Vec<u32> = Vec::new();
        let mut ids = Vec::with_capacity(values.len());
        for (at, value) in values.iter().enumerate() {
            let (id, new) = interner.add(value);
            if new {
                let entries = interner.texts.len();
                let hopeless = entries > 64 && entries * 2 > at;
                if hopeless || entries > MAX_ENTRIES || interner.texts.all().len() > MAX_ENTRY_TEXT {
                    return None;
                }
                counts.push(0);
            }
            counts[id as usize] += 1;
            ids.push(id);
        }
        let mut order: Vec<u32> = (0..counts.len() as u32).collect();
        order.sort_by_key(|id| std::cmp::Reverse(counts[*id as usize]));
        let mut rank = vec![0; order.len()];
        let mut entries = Texts::default();
        for (at, id) in (0..).zip(&order) {
            rank[*id as usize] = at;
            entries.push(interner.texts.get(*id as usize));
        }
        if entries.len() > 256 {
            let ranks: Vec<u64> = ids.iter().map(|id| u64::from(rank[*id as usize])).collect();
            let steps: Vec<u64> =
                ids.windows(2).map(|pair| zigzag(i64::from(pair[1]) - i64::from(pair[0]))).collect();
            if planes_cost(&steps, 2) < planes_cost(&ranks, 2) {
                return Some(Self { entries: interner.texts, ids, in_order: true });
            }
        }
        ids.iter_mut().for_each(|id| *id = rank[*id as usize]);
        Some(Self { entries, ids, in_order: false })
    }
}

/// Where the dashes of a UUID are.
pub(super) fn is_dash(at: usize) -> bool {
    matches!(at, 8 | 13 | 18 | 23)
}

fn is_numeric(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'-'
}

fn common<'a>(one: impl Iterator<Item = &'a u8>, other: impl Iterator<Item = &'a u8>) -> usize {
    one.zip(other).take_while(|(one, other)| one == other).count()
}

/// The number that would be written like this with at least `digits` digits.
fn parse(text: &[u8], digits: usize) -> Option<i64> {
    let (sign, text) = match text {
        [b'-', rest @ ..] => (-1, rest),
        _ => (1, text),
    };
    let grown = text.len() > digits && text.first() == Some(&b'0');
    if text.len() < digits || text.len() > 18 || grown {
        return None;
    }
    let mut number = 0_i64;
    for byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number * 10 + i64::from(byte - b'0');
    }
    // -0 would come back as 0
    (sign > 0 || number != 0).then_some(sign * number)
}
