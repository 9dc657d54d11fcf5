//! Times that lines begin with: RFC 3339, syslog (RFC 3164 and 5424), common log format.
//!
//! Pure: the local zone and the present are arguments. A time without an offset is local.

mod local;

pub(crate) use local::LocalZone;

const SECOND: i128 = 1_000_000_000;
const DAY: u64 = 86_400 * 1_000_000_000;

/// A wall-clock reading without a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Civil {
    year: i64,
    month: u32,
    day: u32,
    /// Seconds since midnight.
    second: i64,
    nanos: u32,
}

impl Civil {
    /// Seconds since 1970 if the reading were UTC.
    fn seconds(self) -> i64 {
        days_from_civil(self.year, self.month, self.day) * 86_400 + self.second
    }
}

/// The time that the line begins with, if it is within 24 hours of `now_ns`.
pub(crate) fn leading(line: &[u8], zone: &mut LocalZone, now_ns: u64) -> Option<u64> {
    let line = strip_priority(line).unwrap_or(line);
    let line = line.strip_prefix(b"[").unwrap_or(line);
    let ts = match line.first()? {
        b'0'..=b'9' => date_first(line, zone).or_else(|| clf(line, zone)),
        b'A'..=b'S' => syslog(line, zone, now_ns).or_else(|| clf(line, zone)),
        _ => clf(line, zone),
    }?;
    (ts.abs_diff(now_ns) <= DAY).then_some(ts)
}

/// Whether the text begins with a date or a time of day, whenever that is.
pub(crate) fn is_dated(text: &[u8]) -> bool {
    let text = strip_priority(text).unwrap_or(text);
    let text = text.strip_prefix(b"[").unwrap_or(text);
    match text.first() {
        Some(b'0'..=b'9') => date_time(text).is_some() || clock(text).is_some(),
        Some(b'A'..=b'S') => {
            text.get(..3).is_some_and(|name| month(name).is_some()) && syslog_clock(text).is_some()
        }
        _ => false,
    }
}

/// The clock of `Nov 21 13:24:59`.
fn syslog_clock(text: &[u8]) -> Option<i64> {
    clock(text.get(7..15)?)
}

/// `<PRI>` and, in RFC 5424, the version behind it; the rest of the line.
fn strip_priority(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"<")?;
    let end = rest.iter().take(4).position(|&byte| byte == b'>')?;
    rest[..end].iter().all(u8::is_ascii_digit).then_some(())?;
    let rest = &rest[end + 1..];
    Some(rest.strip_prefix(b"1 ").unwrap_or(rest))
}

/// All of `text` as RFC 3339 with an offset, in nanoseconds since the Unix epoch.
pub(crate) fn rfc3339(text: &[u8]) -> Option<u64> {
    let (civil, length) = date_time(text)?;
    let (offset, more) = offset(&text[length..])?;
    (length + more == text.len()).then_some(())?;
    unix_ns(civil, offset)
}

fn date_first(line: &[u8], zone: &mut LocalZone) -> Option<u64> {
    let (civil, length) = date_time(line)?;
    let rest = &line[length..];
    match offset(rest) {
        Some((offset, _)) => unix_ns(civil, offset),
        None if rest.first().is_none_or(|byte| !byte.is_ascii_alphanumeric()) => {
            unix_ns(civil, zone.offset(civil.seconds()))
        }
        None => None,
    }
}

/// `2026-11-21T13:24:59.123`; the separators `/`, space and `,` occur as well.
fn date_time(text: &[u8]) -> Option<(Civil, usize)> {
    let head = text.get(..19)?;
    let separators = [head[4], head[7], head[10], head[13], head[16]];
    if !matches!(separators, [b'-', b'-', b'T' | b't' | b' ', b':', b':'] | [b'/', b'/', b' ', b':', b':']) {
        return None;
    }
    let year = i64::from(digits(&head[..4])?);
    let (month, day) = (digits(&head[5..7])?, digits(&head[8..10])?);
    let second = clock(&head[11..])?;
    valid_date(year, month, day).then_some(())?;
    let (nanos, length) = fraction(&text[19..]);
    Some((Civil { year, month, day, second, nanos }, 19 + length))
}

/// `Z`, `+01:00`, `+0100`, ` UTC`, ` +0000`: seconds east of UTC and the length.
fn offset(text: &[u8]) -> Option<(i64, usize)> {
    let (space, rest) = match text.strip_prefix(b" ") {
        Some(rest) => (1, rest),
        None => (0, text),
    };
    if space == 0 && matches!(rest.first(), Some(b'Z' | b'z')) {
        return Some((0, 1));
    }
    if matches!(rest.get(..3), Some(b"UTC" | b"GMT")) && !rest.get(3).is_some_and(u8::is_ascii_alphanumeric) {
        return Some((0, space + 3));
    }
    let sign = match rest.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = digits(rest.get(1..3)?)?;
    let (minutes, length) = match rest.get(3) {
        Some(b':') => (digits(rest.get(4..6)?)?, 6),
        Some(byte) if byte.is_ascii_digit() => (digits(rest.get(3..5)?)?, 5),
        // a bare hour is postgres's form, directly behind the time
        _ if space == 0 => (0, 3),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some((sign * i64::from(hours * 3600 + minutes * 60), space + length))
}

/// `Nov 21 13:24:59` or `Nov  1 13:24:59`, local; the year is the one nearest to now.
fn syslog(line: &[u8], zone: &mut LocalZone, now_ns: u64) -> Option<u64> {
    let head = line.get(..15)?;
    let month = month(&head[..3])?;
    let day = match (head[4], head[5]) {
        (b' ', digit) => digits(&[digit])?,
        (_, _) => digits(&head[4..6])?,
    };
    (head[3] == b' ' && head[6] == b' ').then_some(())?;
    let second = clock(&head[7..])?;
    let (nanos, _) = fraction(&line[15..]);
    let this_year = year_of(i64::try_from(now_ns / 1_000_000_000).ok()?);
    let years = [this_year - 1, this_year, this_year + 1];
    let candidates = years.into_iter().filter(|&year| valid_date(year, month, day)).filter_map(|year| {
        let civil = Civil { year, month, day, second, nanos };
        unix_ns(civil, zone.offset(civil.seconds()))
    });
    candidates.min_by_key(|ts| ts.abs_diff(now_ns))
}

/// `host ident user [10/Oct/2000:13:55:36 -0700] ..`: the bracket stands near the line's beginning.
fn clf(line: &[u8], zone: &mut LocalZone) -> Option<u64> {
    let start = memchr::memchr(b'[', &line[..line.len().min(256)])? + 1;
    let head = line.get(start..start + 20)?;
    let separators = [head[2], head[6], head[11]];
    (separators == [b'/', b'/', b':']).then_some(())?;
    let (day, year) = (digits(&head[..2])?, i64::from(digits(&head[7..11])?));
    let month = month(&head[3..6])?;
    valid_date(year, month, day).then_some(())?;
    let civil = Civil { year, month, day, second: clock(&head[12..])?, nanos: 0 };
    let offset =
        offset(&line[start + 20..]).map_or_else(|| zone.offset(civil.seconds()), |(offset, _)| offset);
    unix_ns(civil, offset)
}

/// `13:24:59`: seconds since midnight. A leap second is the next minute's first.
fn clock(text: &[u8]) -> Option<i64> {
    let text = text.get(..8)?;
    let (hour, minute, second) = (digits(&text[..2])?, digits(&text[3..5])?, digits(&text[6..8])?);
    let fits = text[2] == b':' && text[5] == b':' && hour < 24 && minute < 60 && second < 61;
    fits.then_some(i64::from(hour * 3600 + minute * 60 + second))
}

/// `.123456` in nanoseconds, and its length; digits beyond the ninth are left out.
fn fraction(text: &[u8]) -> (u32, usize) {
    let Some((b'.' | b',', rest)) = text.split_first() else { return (0, 0) };
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return (0, 0);
    }
    let nanos = (0..9).fold(0, |sum, at| {
        let digit = if at < count { rest[at] - b'0' } else { 0 };
        sum * 10 + u32::from(digit)
    });
    (nanos, count + 1)
}

fn digits(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0, |sum: u32, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
}

fn month(name: &[u8]) -> Option<u32> {
    const NAMES: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let index = NAMES.chunks(3).position(|month| month == name)?;
    u32::try_from(index + 1).ok()
}

fn valid_date(year: i64, month: u32, day: u32) -> bool {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=length).contains(&day)
}

fn unix_ns(civil: Civil, offset: i64) -> Option<u64> {
    u64::try_from(i128::from(civil.seconds() - offset) * SECOND + i128::from(civil.nanos)).ok()
}

/// Days since 1970-01-01 (Howard Hinnant's algorithm).
fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = i64::from((month + 9) % 12);
    let day_of_year = (153 * shifted + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn year_of(unix_seconds: i64) -> i64 {
    let day = unix_seconds.div_euclid(86_400);
    let guess = 1970 + day.div_euclid(366);
    (guess..guess + 3).rev().find(|&year| days_from_civil(year, 1, 1) <= day).unwrap_or(guess)
}

#[cfg(test)]
mod tests;
