//! Points in time and durations as people and tools write them.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Where a time goes wrong, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Byte in the text.
    pub(crate) offset: usize,
    pub(crate) message: &'static str,
}

const NOT_A_TIME: &str =
    "is no time: RFC 3339, Unix seconds, ms or ns, `now`, or back from now such as `-15m`";
const NOT_A_DURATION: &str = "is no duration such as 30s, 15m, 2h or 7d";
const OUT_OF_RANGE: &str = "lies beyond the years 1678 to 2261";

/// A point in time, ns: RFC 3339, a date, Unix seconds (up to 11 digits, or with a point), ms (up to 14), µs (up to 17)
/// or ns, `now`, `-15m`, `now-15m`.
pub(crate) fn point_ns(text: &str, now_ns: i64) -> Result<i64, Mistake> {
    let trimmed = text.trim();
    let back = trimmed.strip_prefix("now").unwrap_or(trimmed);
    if back.is_empty() && !trimmed.is_empty() {
        return Ok(now_ns);
    }
    for (sign, direction) in [('-', -1), ('+', 1)] {
        let Some(duration) = back.strip_prefix(sign) else { continue };
        let is_unit_given = duration.ends_with(|letter: char| letter.is_ascii_alphabetic());
        if is_unit_given || back.len() != trimmed.len() {
            let ns = duration_ns(duration)
                .map_err(|error| Mistake { offset: error.offset + (text.len() - duration.len()), ..error })?;
            return Ok(now_ns.saturating_add(direction * ns));
        }
    }
    // A date has the letters of a number, but is none.
    let is_number = trimmed.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-');
    if let (true, Some(found)) = (is_number, number_ns(trimmed)) {
        return found;
    }
    if let Ok(time) = trimmed.parse::<Timestamp>() {
        return i64::try_from(time.as_nanosecond())
            .map_err(|_range| Mistake { offset: 0, message: OUT_OF_RANGE });
    }
    if let Some(midnight) = trimmed.parse::<Date>().ok().and_then(|date| date.to_zoned(TimeZone::UTC).ok()) {
        let ns = midnight.timestamp().as_nanosecond();
        return i64::try_from(ns).map_err(|_range| Mistake { offset: 0, message: OUT_OF_RANGE });
    }
    Err(Mistake { offset: 0, message: NOT_A_TIME })
}

/// `None` when the digits are no number, so that a date may be tried.
fn number_ns(text: &str) -> Option<Result<i64, Mistake>> {
    let out_of_range = Err(Mistake { offset: 0, message: OUT_OF_RANGE });
    if text.contains('.') {
        let seconds: f64 = text.parse().ok()?;
        let ns = seconds * 1e9;
        return Some(if ns.abs() < 9.2e18 { Ok(ns as i64) } else { out_of_range });
    }
    let number: i128 = text.parse().ok()?;
    let unit = match text.trim_start_matches('-').len() {
        ..=11 => 1_000_000_000,
        12..=14 => 1_000_000,
        15..=17 => 1_000,
        _ => 1,
    };
    Some(i64::try_from(number * unit).or(out_of_range))
}

/// A duration, ns: `1h30m`, `500ms`; seconds without a unit.
pub(crate) fn duration_ns(text: &str) -> Result<i64, Mistake> {
    let mistake = |offset| Mistake { offset, message: NOT_A_DURATION };
    if text.is_empty() {
        return Err(mistake(0));
    }
    let mut rest = text;
    let mut total: f64 = 0.0;
    while !rest.is_empty() {
        let offset = text.len() - rest.len();
        let digits =
            rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_no_number| mistake(offset))?;
        let letters = tail.find(|letter: char| letter.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            "w" => 604_800.0,
            // as Prometheus has it
            "y" => 31_536_000.0,
            "" if tail.is_empty() => 1.0,
            _ => return Err(mistake(offset + digits)),
        };
        total += number * seconds;
        rest = tail;
    }
    let ns = total * 1e9;
    if ns >= 9.2e18 { Err(Mistake { offset: 0, message: OUT_OF_RANGE }) } else { Ok(ns.round() as i64) }
}

#[cfg(test)]
mod tests {
    use super::{duration_ns, point_ns};

    const NOW: i64 = 1_795_249_607_257_393_929;

    #[track_caller]
    fn check(text: &str, expected: i64) {
        assert_eq!(point_ns(text, NOW), Ok(expected), "{text}");
    }

    #[test]
    fn times_are_read_as_people_and_tools_write_them() {
        check("2026-11-21T08:26:47.257393929Z", NOW);
        check("2026-11-21T10:26:47.257393929+02:00", NOW);
        check("2026-11-21", 1_795_219_200_000_000_000);
        check("1795249607", 1_795_249_607_000_000_000);
        check("1795249607.5", 1_795_249_607_500_000_000);
        check("1795249607257", 1_795_249_607_257_000_000);
        check("1795249607257393929", NOW);
        check("0", 0);
        check("now", NOW);
        check("-15m", NOW - 900_000_000_000);
        check("now-1h30m", NOW - 5_400_000_000_000);
        check("-1y", NOW - 31_536_000_000_000_000);
        check("+10s", NOW + 10_000_000_000);
    }

    #[test]
    fn a_mistake_has_a_place() {
        for (text, offset) in
            [("yesterday", 0), ("", 0), ("-15q", 3), ("now-", 4), ("2026-13-01", 0), ("9e99", 0)]
        {
            assert_eq!(point_ns(text, NOW).map_err(|mistake| mistake.offset), Err(offset), "{text:?}");
        }
        assert!(point_ns("99999999999999999999999", NOW).is_err());
        assert!(point_ns("99999-01-01T00:00:00Z", NOW).is_err());
    }

    #[test]
    fn durations_add_up() {
        assert_eq!(duration_ns("1m30s"), Ok(90_000_000_000));
        assert_eq!(duration_ns("250ms"), Ok(250_000_000));
        assert_eq!(duration_ns("5"), Ok(5_000_000_000));
        for text in ["", "s", "1.2.3s", "5x", "99999999w", "-5s"] {
            assert!(duration_ns(text).is_err(), "{text}");
        }
    }
}
