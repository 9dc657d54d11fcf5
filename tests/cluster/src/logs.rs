//! Log lines, counted one by one.

use serde_json::Value;

use crate::lab::{Lab, SHOP, ensure, text, wait};
use crate::workloads::CHATTY_LINES;

pub(crate) fn no_log_line_is_lost_over_rotations(lab: &Lab) {
    wait("end of the chatty job", 180, || {
        let job = lab.get(&["job", "chatty", "-n", SHOP]);
        ensure(job["status"]["succeeded"] == 1, || job["status"].to_string())
    });
    let (api, since) = (lab.api(), lab.since());
    let query = format!(
        "SELECT count(*) AS lines, count(DISTINCT body) AS distinct_lines FROM log \
         WHERE ts >= {since} AND namespace = '{SHOP}' AND workload = 'chatty' AND body LIKE 'chatty line%'"
    );
    wait("every line", 120, || {
        let rows = api.sql(&query)?;
        let (lines, distinct) = (rows[0]["lines"].as_u64(), rows[0]["distinct_lines"].as_u64());
        ensure((lines, distinct) == (Some(CHATTY_LINES), Some(CHATTY_LINES)), || {
            format!("{rows:?} of {CHATTY_LINES}")
        })
    });
    // kubelet's link to the log is no log of its own, whose lines would be in the runtime's format
    let raw = format!(
        "SELECT count(*) AS lines FROM log WHERE ts >= {since} AND body LIKE '%stdout F chatty line%'"
    );
    let rows = api.sql(&raw).expect("an answer");
    assert_eq!(rows[0]["lines"].as_u64(), Some(0), "lines are read once more by way of kubelet's link");
}

/// `quiet` and the container `quiet` of `half` want their lines not to be read; all began to write at once.
pub(crate) fn a_pod_that_opted_out_leaves_no_line_anywhere(lab: &Lab) {
    let (api, since) = (lab.api(), lab.since());
    for container in ["loud", "quiet"] {
        let workload = if container == "quiet" { "quiet" } else { "half" };
        wait("pods that write", 60, || {
            let pods = lab.items(&["pods", "-n", SHOP, "-l", &format!("app={workload}")]);
            let phases: Vec<&str> = pods.iter().map(|pod| text(&pod["status"], "phase")).collect();
            ensure(phases == ["Running"], || format!("{phases:?}"))
        });
    }
    let loud = format!(
        "SELECT count(*) AS n, min(body) AS first FROM log WHERE ts >= {since} AND namespace = '{SHOP}' AND workload = 'half' \
         AND container = 'loud'"
    );
    wait("lines of the loud container", 90, || {
        let rows = api.sql(&loud)?;
        let is_there = rows[0]["n"].as_u64() >= Some(20) && text(&rows[0], "first") == "loud line 000001";
        ensure(is_there, || format!("{rows:?}"))
    });
    // what is passed over is counted, which also says that it was looked at
    wait("lines passed over", 60, || {
        let (_, body) = api.call("GET", "/api/v1/doctor", None)?;
        let told: Value = serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
        let checks = told["checks"].as_array().cloned().unwrap_or_default();
        let found = checks.iter().filter(|check| text(check, "area") == "annotations");
        let left_out: u64 =
            found.filter_map(|check| text(check, "found").split(' ').next()?.parse::<u64>().ok()).sum();
        // in a cluster of a person's own others may have their own wishes
        ensure(left_out == 2 || lab.own.is_none() && left_out > 2, || body)
    });
    let quiet = format!("SELECT count(*) AS n FROM log WHERE ts >= {since} AND body LIKE '%quiet line%'");
    let rows = api.sql(&quiet).expect("an answer");
    assert_eq!(rows[0]["n"].as_u64(), Some(0), "a line of a pod that wants none read is stored");
    // a hint: its lines are one record from one date to the next
    let hinted = format!(
        "SELECT body FROM log WHERE namespace = '{SHOP}' AND workload = 'hinted' AND body LIKE 'BEGIN%' LIMIT 5"
    );
    for row in api.rows("records of a pod with a pattern of its own", &hinted) {
        assert_eq!(text(&row, "body"), "BEGIN\nmiddle\nend", "{row}");
    }
}
