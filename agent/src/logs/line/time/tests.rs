use jiff::tz::{Offset, TimeZone};

use super::{LocalZone, leading, rfc3339};

/// 2026-11-21T13:24:59Z
const NOW: u64 = 1_795_267_499_000_000_000;

fn berlin() -> LocalZone {
    LocalZone::new(TimeZone::fixed(Offset::constant(1)))
}

#[track_caller]
fn check(line: &str, offset_from_now_ms: i64) {
    let expected = NOW.saturating_add_signed(offset_from_now_ms * 1_000_000);
    assert_eq!(leading(line.as_bytes(), &mut berlin(), NOW), Some(expected), "{line}");
}

#[track_caller]
fn none(line: &str) {
    assert_eq!(leading(line.as_bytes(), &mut berlin(), NOW), None, "{line}");
}

#[test]
fn the_clock_of_these_tests_is_right() {
    assert_eq!(rfc3339(b"2026-11-21T13:24:59Z"), Some(NOW));
}

#[test]
fn rfc_3339_in_its_forms() {
    check("2026-11-21T13:24:59Z started", 0);
    check("2026-11-21T13:24:59.25Z", 250);
    check("2026-11-21T14:24:59+01:00 x", 0);
    check("2026-11-21T08:24:59.5-0500 x", 500);
    check("2026-11-21 13:24:59,125 UTC [7] LOG:  x", 125);
    check("[2026-11-21T13:24:59.000000001Z] x".replace(".000000001", "").as_str(), 0);
    check("2026-11-21 14:24:59 local", 0);
    check("2026/11/21 14:24:59 [error] nginx", 0);
    check("2026-11-21 14:24:59", 0);
    check("<14>1 2026-11-21T13:24:59.003Z host app - - x", 3);
    check("2026-11-21 13:24:59.5+00", 500);
}

#[test]
fn syslog_in_its_forms() {
    check("Nov 21 14:24:59 host app[1]: x", 0);
    check("<13>Nov 21 14:24:59 host app: x", 0);
    check("Nov 21 14:24:58.5 host app: x", -500);
    let new_year = rfc3339(b"2027-01-01T00:00:01Z").unwrap();
    let before = rfc3339(b"2026-12-31T22:59:59Z").unwrap();
    assert_eq!(leading(b"Dec 31 23:59:59 h a: x", &mut berlin(), new_year), Some(before));
    let first = rfc3339(b"2026-11-01T00:00:00Z").unwrap();
    assert_eq!(leading(b"Nov  1 01:00:00 h a: x", &mut berlin(), first), Some(first));
}

#[test]
fn common_log_format() {
    check(r#"127.0.0.1 - - [21/Nov/2026:13:24:59 +0000] "GET / HTTP/1.1" 200 1"#, 0);
    check(r#"::1 - bob [21/Nov/2026:14:24:59] "GET /""#, 0);
    check(r#"example.org - - [21/Nov/2026:14:24:59 +0100] "GET /""#, 0);
}

#[test]
fn what_is_no_time_or_too_far_away() {
    for line in [
        "",
        "x",
        "2026",
        "2026-11-21",
        "2026-13-21T13:24:59Z",
        "2026-11-31T13:24:59Z",
        "2026-11-21T24:00:00Z",
        "2026-11-20T13:24:58Z a day and a second ago",
        "2026-11-22T13:25:00Z",
        "2025-11-21T13:24:59Z",
        "Now 21 14:24:59 x",
        "Nov 21 14:24:5",
        "Feb 30 14:24:59",
        "[21/Nov/2026",
        "started at 2026-11-21T13:24:59Z",
        "2026-11-21T13:24:59x",
        "<>Nov",
        "<999",
    ] {
        none(line);
    }
}

#[test]
fn whole_day_either_way_is_taken() {
    check("2026-11-20T13:24:59Z", -86_400_000);
    check("2026-11-22T13:24:59Z", 86_400_000);
}

#[test]
fn summer_time_follows_the_zone() {
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let now = rfc3339(b"2026-07-01T12:00:00Z").unwrap();
    assert_eq!(leading(b"Jul  1 14:00:00 h a: x", &mut LocalZone::new(zone), now), Some(now));
}
