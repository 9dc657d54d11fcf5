//! Times in text: parsed to ticks since 1970 or since midnight, written back the same to the byte.

use crate::civil::{date, days_of};

/// How the times of a column are written. All have the same shape, so that each position is fixed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) kind: Kind,
    /// Between date and time, of [`Kind::Date`].
    pub(super) between: u8,
    /// Before the fraction.
    pub(super) point: u8,
    /// Digits of the fraction, at most 9.
    pub(super) digits: u8,
    /// What follows, the same in all: a zone, or nothing.
    pub(super) suffix: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `2026-11-21T12:00:00`.
    Date,
    /// `12:00:00`.
    Clock,
    /// `21/Nov/2026:12:00:00`.
    Access,
}

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
const DAY_S: i64 = 86_400;
/// A suffix is a zone, not a text of its own.
const MAX_SUFFIX: usize = 12;

impl Format {
    /// The format of a text, if it is a time.
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        let kind = match text {
            [_, _, b':', ..] => Kind::Clock,
            [_, _, _, _, b'-', ..] => Kind::Date,
            [_, _, b'/', _, _, _, b'/', ..] => Kind::Access,
            _ => return None,
        };
        let between = if kind == Kind::Date { *text.get(10)? } else { 0 };
        if kind == Kind::Date && !matches!(between, b'T' | b't' | b' ' | b'_' | b'-') {
            return None;
        }
        let rest = text.get(kind.len()..)?;
        let (point, digits) = match rest {
            [point @ (b'.' | b','), fraction @ ..] => {
                (*point, fraction.iter().take_while(|byte| byte.is_ascii_digit()).count())
            }
            _ => (0, 0),
        };
        if digits > 9 || (point != 0 && digits == 0) {
            return None;
        }
        let suffix = rest.get(if digits > 0 { digits + 1 } else { 0 }..)?;
        let starts_with_digit = suffix.first().is_some_and(u8::is_ascii_digit);
        if suffix.len() > MAX_SUFFIX || starts_with_digit {
            return None;
        }
        let format = Self { kind, between, point, digits: digits as u8, suffix: suffix.to_vec() };
        format.parse(text).map(|_| format)
    }

    /// Nanoseconds of a tick.
    pub(super) fn tick_ns(&self) -> i64 {
        10_i64.pow(9 - u32::from(self.digits.min(9)))
    }

    /// The ticks of a text that is written in this format.
    pub(super) fn parse(&self, text: &[u8]) -> Option<i64> {
        let len = self.kind.len();
        let fraction = if self.digits > 0 { 1 + usize::from(self.digits) } else { 0 };
        if text.len() != len + fraction + self.suffix.len() || text.get(len + fraction..)? != self.suffix {
            return None;
        }
        let days = match self.kind {
            Kind::Clock => 0,
            Kind::Date => {
                if text[4] != b'-' || text[7] != b'-' || text[10] != self.between {
                    return None;
                }
                days_of(number(&text[..4])?, number(&text[5..7])?, number(&text[8..10])?)?
            }
            Kind::Access => {
                if text[2] != b'/' || text[6] != b'/' || text[11] != b':' {
                    return None;
                }
                let month = MONTHS.iter().position(|month| text[3..6] == month[..])?;
                days_of(number(&text[7..11])?, month as i64 + 1, number(&text[..2])?)?
            }
        };
        let clock = &text[len - 8..len];
        if clock[2] != b':' || clock[5] != b':' {
            return None;
        }
        let (hour, minute, second) = (number(&clock[..2])?, number(&clock[3..5])?, number(&clock[6..])?);
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let seconds = days * DAY_S + hour * 3_600 + minute * 60 + second;
        let scale = 10_i64.pow(u32::from(self.digits));
        if self.digits == 0 {
            return Some(seconds);
        }
        if text[len] != self.point {
            return None;
        }
        seconds.checked_mul(scale)?.checked_add(number(&text[len + 1..len + fraction])?)
    }

    /// Writes a time. What no text of this format could be is written as the year 0000 or 9999.
    pub(super) fn write(&self, ticks: i64, out: &mut Vec<u8>) {
        let scale = 10_i64.pow(u32::from(self.digits.min(9)));
        let (seconds, fraction) = (ticks.div_euclid(scale), ticks.rem_euclid(scale));
        let (days, clock) = (seconds.div_euclid(DAY_S), seconds.rem_euclid(DAY_S));
        if self.kind != Kind::Clock {
            let (year, month, day) = date(days.clamp(-719_528, 2_932_896));
            if self.kind == Kind::Date {
                digits(year, 4, out);
                out.push(b'-');
                digits(month, 2, out);
                out.push(b'-');
                digits(day, 2, out);
                out.push(self.between);
            } else {
                digits(day, 2, out);
                out.push(b'/');
                out.extend_from_slice(MONTHS[(month - 1).clamp(0, 11) as usize]);
                out.push(b'/');
                digits(year, 4, out);
                out.push(b':');
            }
        }
        digits(clock / 3_600, 2, out);
        out.push(b':');
        digits(clock / 60 % 60, 2, out);
        out.push(b':');
        digits(clock % 60, 2, out);
        if self.digits > 0 {
            out.push(self.point);
            digits(fraction, usize::from(self.digits), out);
        }
        out.extend_from_slice(&self.suffix);
    }

    /// Every byte that a time of this format may have.
    pub(super) fn bytes(&self) -> impl Iterator<Item = u8> {
        let months = if self.kind == Kind::Access { &MONTHS[..] } else { &[] };
        let months = months.iter().flat_map(|month| month.iter().copied());
        let own = [self.between, self.point].into_iter().filter(|byte| *byte != 0);
        b"0123456789-:/".iter().chain(&self.suffix).copied().chain(months).chain(own)
    }

    /// Whether a text may lie in a time of this format.
    pub(super) fn may_hold(&self, text: &[u8], fold: bool) -> bool {
        const DIGIT: u16 = 256;
        const LETTER: u16 = 257;
        let shape: &[u8] = match self.kind {
            Kind::Date => b"0000-00-00T00:00:00",
            Kind::Clock => b"00:00:00",
            Kind::Access => b"00/aaa/0000:00:00:00",
        };
        let mut pattern: Vec<u16> = shape
            .iter()
            .map(|byte| match byte {
                b'0' => DIGIT,
                b'a' => LETTER,
                b'T' => u16::from(self.between),
                other => u16::from(*other),
            })
            .collect();
        if self.digits > 0 {
            pattern.push(u16::from(self.point));
            pattern.extend(std::iter::repeat_n(DIGIT, usize::from(self.digits)));
        }
        pattern.extend(self.suffix.iter().map(|byte| u16::from(*byte)));
        let fits = |(byte, wanted): (&u8, &u16)| match *wanted {
            DIGIT => byte.is_ascii_digit(),
            LETTER => byte.is_ascii_alphabetic(),
            known if fold => u8::try_from(known).is_ok_and(|known| known.eq_ignore_ascii_case(byte)),
            known => u16::from(*byte) == known,
        };
        text.is_empty() || pattern.windows(text.len()).any(|window| text.iter().zip(window).all(fits))
    }

    /// What is stored of a time: its distance from the record's.
    pub(super) fn relative(&self, ticks: i64, record_ns: i64) -> i64 {
        let record = record_ns.div_euclid(self.tick_ns());
        match self.kind {
            Kind::Clock => {
                let day = self.day();
                let apart = ticks.wrapping_sub(record).rem_euclid(day);
                if apart >= day / 2 { apart - day } else { apart }
            }
            _ => ticks.wrapping_sub(record),
        }
    }

    /// The time that lies so far from the record's.
    pub(super) fn absolute(&self, relative: i64, record_ns: i64) -> i64 {
        let ticks = record_ns.div_euclid(self.tick_ns()).wrapping_add(relative);
        if self.kind == Kind::Clock { ticks.rem_euclid(self.day()) } else { ticks }
    }

    fn day(&self) -> i64 {
        DAY_S * 10_i64.pow(u32::from(self.digits.min(9)))
    }
}

impl Kind {
    fn len(self) -> usize {
        match self {
            Self::Date => 19,
            Self::Clock => 8,
            Self::Access => 20,
        }
    }
}

#[inline]
fn number(text: &[u8]) -> Option<i64> {
    let mut number = 0;
    for byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number * 10 + i64::from(byte - b'0');
    }
    Some(number)
}

/// Writes exactly `len` digits.
fn digits(mut number: i64, len: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + len, b'0');
    for at in (start..start + len).rev() {
        out[at] = b'0' + (number % 10).unsigned_abs() as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::Format;

    #[track_caller]
    fn check(text: &str) {
        let format = Format::of(text.as_bytes()).unwrap();
        let ticks = format.parse(text.as_bytes()).unwrap();
        let mut written = Vec::new();
        format.write(ticks, &mut written);
        assert_eq!(text.as_bytes(), written);
        for record in [0, 1_795_262_400_123_456_789, -5] {
            assert_eq!(format.absolute(format.relative(ticks, record), record), ticks);
        }
    }

    #[test]
    fn times_come_back_as_they_were() {
        for text in [
            "2026-11-21T12:00:00.123Z",
            "2026-11-21 23:59:59,000001+01:00",
            "0000-02-29T00:00:00",
            "2026-12-31T23:59:59.999999999Z",
            "00:00:00.000",
            "23:59:59",
            "21/Nov/2026:12:00:00",
        ] {
            check(text);
        }
        for text in ["2026-02-29T12:00:00", "24:00:00", "12:00:60", "2026-11-21x12:00:00", "1:00:00", ""] {
            assert_eq!(Format::of(text.as_bytes()), None, "{text}");
        }
    }
}
