//! Numbers with their units, short enough for a column.

/// Bytes in powers of 1024: `512 B`, `1.5 KiB`.
pub(crate) fn bytes(value: f64) -> String {
    scaled(value, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"])
}

/// A count in powers of 1000: `999`, `1.5 k`.
pub(crate) fn count(value: f64) -> String {
    if value.abs() < 10_000.0 {
        return format!("{value:.0}");
    }
    scaled(value, 1000.0, &["", "k", "M", "G", "T"])
}

fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut units = units.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    let mut whole = true;
    for next in units {
        if value.abs() < step - 0.05 {
            break;
        }
        value /= step;
        unit = next;
        whole = false;
    }
    let digits = if whole || value.abs() >= 99.95 { 0 } else { 1 };
    format!("{value:.digits$} {unit}").trim_end().to_owned()
}

/// Microseconds as a duration: `85 us`, `1.2 ms`, `3.4 s`.
pub(crate) fn micros(value: f64) -> String {
    scaled(value, 1000.0, &["us", "ms", "s", "ks"])
}

/// Seconds as people say them: `45 s`, `12 min`, `3.5 h`, `2.0 d`.
pub(crate) fn seconds(value: f64) -> String {
    match value {
        value if value < 1.0 => format!("{:.0} ms", value * 1000.0),
        value if value < 10.0 => format!("{value:.1} s"),
        value if value < 120.0 => format!("{value:.0} s"),
        value if value < 7200.0 => format!("{:.0} min", value / 60.0),
        value if value < 172_800.0 => format!("{:.1} h", value / 3600.0),
        value => format!("{:.1} d", value / 86_400.0),
    }
}

/// `2026-11-21T09:30:00.123456789Z` as `2026-11-21 09:30:00.123`, UTC.
pub(crate) fn time(rfc3339: &str) -> String {
    let Some((date, clock)) = rfc3339.split_once('T') else { return rfc3339.to_owned() };
    let clock = clock.trim_end_matches('Z');
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    format!("{date} {whole}.{:0<3.3}", fraction)
}

#[cfg(test)]
mod tests {
    use super::{bytes, count, micros, seconds, time};

    #[test]
    fn units_change_where_they_should() {
        assert_eq!(
            [bytes(0.0), bytes(1023.0), bytes(1024.0), bytes(1e9)],
            ["0 B", "1023 B", "1.0 KiB", "954 MiB"]
        );
        assert_eq!([count(9999.0), count(12_345.0)], ["9999", "12.3 k"]);
        assert_eq!([micros(85.0), micros(1234.0), micros(2_000_000.0)], ["85 us", "1.2 ms", "2.0 s"]);
        assert_eq!(
            [seconds(0.25), seconds(90.0), seconds(600.0), seconds(7200.0)],
            ["250 ms", "90 s", "10 min", "2.0 h"]
        );
    }

    #[test]
    fn times_keep_milliseconds() {
        assert_eq!(time("2026-11-21T09:30:00.123456789Z"), "2026-11-21 09:30:00.123");
        assert_eq!(time("2026-11-21T09:30:00Z"), "2026-11-21 09:30:00.000");
        assert_eq!(time("then"), "then");
    }
}
