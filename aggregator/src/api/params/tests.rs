use axum::response::IntoResponse as _;

use super::{Params, Range};
use crate::api::error::ApiError;

const NOW: i64 = 1_795_249_607_000_000_000;

fn params(given: &[(&str, &str)]) -> Params {
    let given = given.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    Params::new(given.collect(), NOW).unwrap()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, ApiError>, expected: &str) {
    let error = result.unwrap_err();
    let text = format!("{error:?}");
    assert!(text.contains(expected), "{text}");
    assert_eq!(error.into_response().status(), 400);
}

#[test]
fn what_repeats_is_kept_in_order_and_what_must_not_repeat_is_refused() {
    let mut given = params(&[("contains", "a"), ("limit", "5"), ("contains", "b")]);
    assert_eq!(given.all("contains"), ["a", "b"]);
    assert_eq!(given.number("limit", 1, 10).unwrap(), 5);
    given.end().unwrap();
    refused(params(&[("limit", "1"), ("limit", "2")]).number("limit", 1, 10), "more than once");
}

#[test]
fn mistakes_name_the_parameter_and_the_place() {
    refused(params(&[("limit", "12x")]).number("limit", 1, 10), "offset: Some(2)");
    refused(params(&[("limit", "11")]).number("limit", 1, 10), "above 10");
    refused(params(&[("raw", "maybe")]).flag("raw"), "neither true nor false");
    refused(params(&[("sort", "name")]).choice("sort", &["bytes"]), "none of bytes");
    refused(params(&[("where", "workload")]).wheres(), "offset: Some(8)");
    refused(params(&[("where", "=x")]).wheres(), "no key");
    refused(params(&[("regex", "a(b")]).regexes("regex"), "offset: Some(1)");
    refused(params(&[("from", "-15q")]).range(0), "parameter: Some(\"from\")");
    refused(params(&[("from", "now"), ("to", "-1h")]).range(0), "lies after");
    refused(params(&[("step", "0s")]).duration_ns("step"), "below a millisecond");
    refused(params(&[("lmit", "5")]).end(), "lmit");
}

#[test]
fn a_range_without_a_begin_goes_back_from_its_end() {
    let hour = 3_600_000_000_000;
    assert_eq!(params(&[]).range(3_600).unwrap(), Range { from_ns: NOW - hour, to_ns: i64::MAX });
    assert_eq!(params(&[]).range(0).unwrap(), Range { from_ns: i64::MIN, to_ns: i64::MAX });
    let given = params(&[("to", "1795249000")]).range(3_600).unwrap();
    assert_eq!(given, Range { from_ns: 1_795_249_000_000_000_000 - hour, to_ns: 1_795_249_000_000_000_000 });
}

#[test]
fn too_many_and_too_long_ones_are_refused() {
    let many = vec![(String::from("contains"), String::from("a")); 65];
    refused(Params::new(many, NOW), "65 parameters");
    refused(Params::new(vec![(String::from("contains"), "a".repeat(20_000))], NOW), "20000 bytes");
}
