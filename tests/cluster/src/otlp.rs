//! OTLP from applications in the cluster: over TLS, with a service account's token, for its own namespace.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::lab::{Lab, OTHER, SHOP, WAKE, ensure, text, wait};

pub(crate) fn is_on(lab: &Lab) -> bool {
    let service = lab.get(&["service", "wake-aggregator", "-n", WAKE]);
    service["spec"]["ports"].as_array().into_iter().flatten().any(|port| port["port"] == 4318)
}

/// The trace that `namespace` sends.
pub(crate) fn trace_id(namespace: &str) -> String {
    let letter = if namespace == SHOP { 'a' } else { 'b' };
    // one of this run's
    format!("{:08x}{}", std::process::id(), letter.to_string().repeat(24))
}

/// A request with one span of each namespace, named for it.
fn spans(of: &[&str]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let span = |namespace: &str| {
        let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
        let names = [attribute("service.name", "instrumented"), attribute("k8s.namespace.name", namespace)];
        let span = json!({"traceId": trace_id(namespace), "spanId": "00f067aa0ba902b7", "kind": 2,
            "name": format!("secret of {namespace}"), "startTimeUnixNano": (now - 1_000_000).to_string(),
            "endTimeUnixNano": now.to_string()});
        json!({"resource": {"attributes": names}, "scopeSpans": [{"spans": [span]}]})
    };
    json!({"resourceSpans": of.iter().map(|namespace| span(namespace)).collect::<Vec<_>>()}).to_string()
}

/// What `workload` of `namespace` hears: status, a line feed, body. `token` is a shell's word.
fn send(
    lab: &Lab,
    (namespace, workload): (&str, &str),
    token: &str,
    body: &str,
) -> Result<(u16, Value), String> {
    let map = lab.get(&["configmap", "wake-ca", "-n", WAKE]);
    let ca = map["data"]["ca.crt"].as_str().ok_or("no CA")?;
    let script = format!(
        "printf '%s' \"$1\" > /tmp/ca.crt; curl -sS -m 10 --cacert /tmp/ca.crt -w '\\n%{{http_code}}' \
         -H \"Authorization: Bearer {token}\" -H 'Content-Type: application/json' --data-binary \"$2\" \
         https://wake-aggregator.{WAKE}.svc:4318/v1/traces"
    );
    let exec = ["exec", "-n", namespace, workload, "--", "sh", "-c", &script, "sh", ca, body];
    let told = lab.try_kubectl(&exec)?;
    let (body, status) = told.rsplit_once('\n').ok_or_else(|| told.clone())?;
    let status = status.trim().parse().map_err(|_| told.clone())?;
    Ok((status, serde_json::from_str(body).unwrap_or(Value::String(body.to_owned()))))
}

const OWN: &str = "$(cat /var/run/secrets/kubernetes.io/serviceaccount/token)";

pub(crate) fn otlp_is_taken_for_the_senders_own_namespace(lab: &Lab) {
    let client = (SHOP, "deployment/client");
    for token in ["", "forged"] {
        let (status, body) = send(lab, client, token, &spans(&[SHOP])).unwrap();
        assert_eq!(status, 401, "with {token:?}: {body}");
    }
    // its own is taken, the other one named and left out
    let (status, body) = wait("an answer to OTLP", 30, || send(lab, client, OWN, &spans(&[SHOP, OTHER])));
    let rejected = body["partialSuccess"]["rejectedSpans"].to_string();
    assert!(status == 200 && rejected.trim_matches('"') == "1", "{status} {body}");
    assert!(text(&body["partialSuccess"], "errorMessage").contains("forbidden_namespace"), "{body}");
    let (status, body) = send(lab, (OTHER, "deployment/secretive"), OWN, &spans(&[OTHER])).unwrap();
    assert_eq!(status, 200, "{body}");
    let (status, body) = send(lab, client, OWN, "{\"resourceSpans\": 7}").unwrap();
    assert_eq!(status, 400, "garbage: {body}");
    let api = lab.api();
    for namespace in [SHOP, OTHER] {
        let query = format!(
            "SELECT namespace, workload FROM span WHERE trace_id = '{}' AND name = 'secret of {namespace}'",
            trace_id(namespace)
        );
        let rows = api.rows(&format!("the span of {namespace}"), &query);
        assert_eq!((rows.len(), text(&rows[0], "workload")), (1, "instrumented"), "{rows:?}");
        wait("the trace by its id", 30, || {
            let (status, body) = api.call("GET", &format!("/api/v1/traces/{}", trace_id(namespace)), None)?;
            ensure(status == 200 && body.contains(&format!("secret of {namespace}")), || {
                format!("{status} {body}")
            })
        });
    }
}
