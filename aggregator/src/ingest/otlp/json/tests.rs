use super::to_protobuf;
use crate::ingest::otlp::Signal;
use crate::ingest::otlp::convert::count;

fn records(signal: Signal, json: &str) -> Result<u64, String> {
    let bytes = to_protobuf(signal, json.as_bytes()).map_err(|error| error.to_string())?;
    count(signal, &bytes).map_err(|error| error.to_string())
}

#[test]
fn records_of_each_signal_are_found() {
    let logs = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{},{"body":{"stringValue":"x"}}]}]}]}"#;
    assert_eq!(records(Signal::Logs, logs), Ok(2));
    let spans = r#"{"resource_spans":[{"scope_spans":[{"spans":[{"trace_id":"00ff"}]}]}],"new":[1,{}]}"#;
    assert_eq!(records(Signal::Traces, spans), Ok(1));
    let metrics = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[
        {"name":"a","gauge":{"dataPoints":[{"asInt":"3"},{}]}},{"sum":{"dataPoints":[{"attributes":[]}]}}]}]}]}"#;
    assert_eq!(records(Signal::Metrics, metrics), Ok(3));
}

#[test]
fn what_is_no_otlp_is_named() {
    let one = |record: &str| {
        records(
            Signal::Logs,
            &format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record}]}}]}}]}}"#),
        )
    };
    assert!(one(r#"{"traceId":"xy"}"#).unwrap_err().contains("not hex"));
    assert!(one(r#"{"traceId":"abc"}"#).unwrap_err().contains("not hex"));
    assert!(one(r#"{"timeUnixNano":"-1"}"#).unwrap_err().contains("out of range"));
    assert!(one(r#"{"timeUnixNano":{}}"#).unwrap_err().contains("an object where"));
    assert!(one(r#"{"body":"plain"}"#).unwrap_err().contains("a text where an object"));
    assert!(one(r#"{"severityNumber":"LOUD"}"#).unwrap_err().contains("LOUD"));
    assert!(one(r#"{"body":{"bytesValue":"@@"}}"#).unwrap_err().contains("base64"));
    assert!(records(Signal::Logs, "[]").is_err());
    assert!(records(Signal::Logs, "{} {}").is_err());
    assert_eq!(one(r#"{"severityNumber":"SEVERITY_NUMBER_WARN","timeUnixNano":12,"eventName":null}"#), Ok(1));
    assert_eq!(one(r#"{"body":{"bytesValue":"aGk="}}"#), Ok(1));
}

#[test]
fn depth_is_bounded() {
    let bomb = format!("{{\"resourceLogs\":{}", "[".repeat(100_000));
    assert!(records(Signal::Logs, &bomb).is_err());
    let mut deep = String::from(r#"{"stringValue":"x"}"#);
    for _ in 0..60 {
        deep = format!(r#"{{"arrayValue":{{"values":[{deep}]}}}}"#);
    }
    let logs = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{deep}}}]}}]}}]}}"#);
    assert!(records(Signal::Logs, &logs).is_err());
}
