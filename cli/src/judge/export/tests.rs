use super::*;

/// Rows a minute apart around a change at their sixtieth.
fn rows(row: impl Fn(i64, f64) -> String) -> String {
    (0..90).map(|i| row(1_763_640_000 + 60 * i, 0.2 + if i > 60 { 0.1 } else { 0.0 })).collect()
}

fn read(text: &str, signal: Signal) -> Result<Vec<(i64, f64)>, String> {
    samples(Path::new("x"), text, signal).map_err(|e| e.to_string())
}

#[test]
fn every_form_in_which_people_save_the_same_series_is_read_alike() {
    let expected = read(&rows(|t, v| format!("{t},{v}\n")), Signal::Latency).unwrap();
    assert_eq!(expected.len(), 90);
    let utc = |t: i64| jiff::Timestamp::from_second(t).unwrap().to_string();
    let list = |number: fn(f64) -> String| {
        let all = rows(|t, v| format!("[{t},{}],", number(v)));
        format!("[{}]", all.trim_end_matches(','))
    };
    let text = list(|v| format!("\"{v}\""));
    let result = format!("[{{\"metric\":{{}},\"values\":{text}}}]");
    let data = format!("{{\"resultType\":\"matrix\",\"result\":{result}}}");
    let forms = [
        format!("time,value\r\n{}", rows(|t, v| format!("{t},{v}\r\n"))),
        format!("\u{feff}\"Time\",\"p95\"\n{}", rows(|t, v| format!("\"{}\",\"{v}\"\n", utc(t)))),
        format!("Time;p95\n{}", rows(|t, v| format!("{t};{v}\n"))),
        rows(|t, v| format!("{}\t{v}\n", 1_000 * t)),
        result.clone(),
        data.clone(),
        format!("{{\"status\":\"success\",\"data\":{data}}}"),
        format!("[{{\"values\":{}}}]", list(|v| v.to_string())),
    ];
    for form in forms {
        assert_eq!(read(&form, Signal::Latency).as_ref(), Ok(&expected), "{}", &form[..80]);
    }
}

#[test]
fn what_cannot_be_read_is_named_by_row_and_column() {
    for (text, says) in [
        (
            "time,value\n2026-11-20 14:05:00,1\n",
            "x, row 2, column time: \"2026-11-20 14:05:00\" is not a time with its zone",
        ),
        (
            "1763640000,-1\n",
            "x, row 1, column value: \"-1\" is not a value that this signal can have: it is never below zero",
        ),
        ("time,value\n1763640000,12 ms\n", "x, row 2, column value: \"12 ms\" is not a plain number"),
        ("1763640000,+Inf\n", "x, row 1, column value: \"+Inf\" is not finite"),
        ("1763640000,1e200\n", "x, row 1, column value: \"1e200\" is not a value that this signal can have"),
        ("1763640000,1,2\n", "x, row 1, column value: \"1763640000,1,2\" is not a row of time,value"),
        (
            "{\"status\":\"error\",\"error\":\"parse error\"}",
            "x: Prometheus answered with an error: parse error",
        ),
        ("{\"data\":{\"result\":[]}}", "x holds no series"),
        ("[{\"values\":[]},{\"values\":[]}]", "x holds 2 series"),
        ("[{\"value\":[1,\"1\"]}]", "x is the answer of an instant query"),
        ("{\"status\":", "parse x as a query_range answer"),
    ] {
        let error = read(text, Signal::Latency).unwrap_err();
        assert!(error.starts_with(says), "{error}");
    }
}

#[test]
fn gaps_order_and_repeats_do_not_matter() {
    let case = bytes("time,value\n120,3\n60,1\n180,NaN\n240,\n60,2\n", "100").unwrap();
    assert_eq!(case.series[0].samples, [(60, 2.0), (120, 3.0)]);
    assert_eq!(bytes("60,NaN\n", "100").unwrap_err().to_string(), "no sample in it");
    assert_eq!(
        bytes("60,1\n", "noon").unwrap_err().to_string(),
        "\"noon\" is no time: give RFC 3339 or Unix seconds"
    );
}

#[test]
fn values_that_only_rise_are_told_from_others() {
    let noted = |value: fn(i64) -> f64| {
        let rows: String = (1..=40).map(|i| format!("{},{}\n", 60 * i, value(i))).collect();
        note(&bytes(&rows, "1200").unwrap()).is_some()
    };
    assert!(noted(|i| (7 * i) as f64));
    assert!(noted(|i| if i < 20 { (7 * i) as f64 } else { (7 * (i - 20)) as f64 }), "it started again");
    assert!(!noted(|i| (100 + 7 * i - 20 * (i % 3)) as f64), "it falls by little");
    assert!(!noted(|i| (i / 10) as f64), "it hardly rises");
    assert!(!noted(|i| (i % 2) as f64));
}
