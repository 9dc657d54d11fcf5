//! Log lines, counted one by one.

use crate::lab::{Lab, SHOP, ensure, wait};
use crate::workloads::CHATTY_LINES;

pub(crate) fn no_log_line_is_lost_over_rotations(lab: &Lab) {
    wait("end of the chatty job", 180, || {
        let job = lab.get(&["job", "chatty", "-n", SHOP]);
        ensure(job["status"]["succeeded"] == 1, || job["status"].to_string())
    });
    let api = lab.api();
    let query = format!(
        "SELECT count(*) AS lines, count(DISTINCT body) AS distinct_lines FROM log \
         WHERE namespace = '{SHOP}' AND workload = 'chatty' AND body LIKE 'chatty line%'"
    );
    wait("every line", 120, || {
        let rows = api.sql(&query)?;
        let (lines, distinct) = (rows[0]["lines"].as_u64(), rows[0]["distinct_lines"].as_u64());
        ensure((lines, distinct) == (Some(CHATTY_LINES), Some(CHATTY_LINES)), || {
            format!("{rows:?} of {CHATTY_LINES}")
        })
    });
    // kubelet's link to the log is no log of its own, whose lines would be in the runtime's format
    let raw = "SELECT count(*) AS lines FROM log WHERE body LIKE '%stdout F chatty line%'";
    let rows = api.sql(raw).expect("an answer");
    assert_eq!(rows[0]["lines"].as_u64(), Some(0), "lines are read once more by way of kubelet's link");
}
