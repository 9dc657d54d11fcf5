//! Parts of the cluster and of Wake gone for a while: what was written meanwhile is there afterwards, once.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::api::Api;
use crate::lab::{Lab, SHOP, WAKE, ensure, text, wait};

/// `edge` numbers its lines; from each pod, every number up to the newest must be there exactly once.
pub(crate) fn nothing_is_missing(lab: &Lab, least: u64) {
    let api = lab.api();
    let query = format!(
        "SELECT pod, count(*) AS lines, count(DISTINCT body) AS bodies, \
         max(CAST(split_part(body, ' ', 3) AS BIGINT)) AS newest FROM log \
         WHERE namespace = '{SHOP}' AND workload = 'edge' AND body LIKE 'edge asks %' GROUP BY pod"
    );
    wait("every line of every pod", 90, || {
        let rows = api.sql(&query)?;
        ensure(rows.len() >= lab.items(&["pods", "-n", SHOP, "-l", "app=edge"]).len(), || {
            format!("{rows:?}")
        })?;
        for row in &rows {
            let [lines, bodies, newest] =
                ["lines", "bodies", "newest"].map(|key| row[key].as_u64().unwrap_or_default());
            ensure(lines == newest && bodies == newest && newest >= least, || {
                format!("{row}, at least {least}; {}", holes(&api, text(row, "pod")))
            })?;
        }
        Ok(())
    });
}

/// Which numbers of a pod are not there, and between which times.
fn holes(api: &Api, pod: &str) -> String {
    let query = format!(
        "SELECT CAST(split_part(body, ' ', 3) AS BIGINT) AS number, ts FROM log \
         WHERE pod = '{pod}' AND body LIKE 'edge asks %' ORDER BY number"
    );
    let mut holes = Vec::new();
    let (mut next, mut before) = (1, String::new());
    for row in api.sql(&query).unwrap_or_default() {
        let number = row["number"].as_u64().unwrap_or_default();
        let at = text(&row, "ts");
        if number > next {
            holes.push(format!("{next} to {}, between {before} and {at}", number - 1));
        }
        (next, before) = (number + 1, at.to_owned());
    }
    format!("not there: {}", holes.join("; "))
}

/// The newest line that a pod of `edge` has written itself.
pub(crate) fn written(lab: &Lab) -> u64 {
    let pods = lab.items(&["pods", "-n", SHOP, "-l", "app=edge"]);
    let newest = pods.iter().map(|pod| {
        let log = lab.kubectl(&["logs", "-n", SHOP, text(&pod["metadata"], "name"), "--tail=1"]);
        log.trim().rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0_u64)
    });
    newest.min().unwrap_or_default()
}

/// Rows of what is over, by table: none of them may become fewer.
fn rows(api: &Api, until: &str) -> BTreeMap<&'static str, u64> {
    let count = |table: &'static str| {
        let rows =
            api.sql(&format!("SELECT count(*) AS n FROM {table} WHERE ts < TIMESTAMP '{until}'")).unwrap();
        (table, rows[0]["n"].as_u64().unwrap())
    };
    ["log", "flow", "usage", "syscall", "process"].map(count).into()
}

fn now(api: &Api) -> String {
    text(&api.sql("SELECT CAST(now() - INTERVAL '20 seconds' AS VARCHAR) AS now").unwrap()[0], "now")
        .trim_end_matches('Z')
        .to_owned()
}

/// The uid of the aggregator's pod, and whether it is ready.
fn aggregator(lab: &Lab) -> Result<(String, bool), String> {
    let pod = lab.try_kubectl(&["get", "pod", "wake-aggregator-0", "-n", WAKE, "-o", "json"])?;
    let pod: Value = serde_json::from_str(&pod).map_err(|error| error.to_string())?;
    let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let is_ready = conditions.iter().any(|c| text(c, "type") == "Ready" && text(c, "status") == "True");
    Ok((text(&pod["metadata"], "uid").to_owned(), is_ready))
}

pub(crate) fn the_aggregator_killed_loses_nothing_acknowledged(lab: &Lab) {
    let api = lab.api();
    let until = now(&api);
    let before = rows(&api, &until);
    drop(api);
    let killed = aggregator(lab).unwrap().0;
    lab.kubectl(&["delete", "pod", "wake-aggregator-0", "-n", WAKE, "--grace-period=0", "--force"]);
    // a rollout's status still tells of the pod that was killed
    wait("another aggregator that is ready", 120, || {
        let (uid, is_ready) = aggregator(lab)?;
        ensure(uid != killed && is_ready, || format!("{uid} after {killed}, ready: {is_ready}"))
    });
    let api = lab.api();
    let after = rows(&api, &until);
    for (table, count) in &before {
        assert!(after[table] >= *count, "{table}: {count} rows before, {} after", after[table]);
    }
    nothing_is_missing(lab, written(lab));
}

pub(crate) fn agents_restarted_go_on_where_they_were(lab: &Lab) {
    lab.kubectl(&["delete", "pod", "-n", WAKE, "-l", "app.kubernetes.io/component=agent"]);
    lab.kubectl(&[
        "rollout",
        "status",
        "-n",
        WAKE,
        "daemonset/wake-agent",
        "--timeout=120s",
        "--request-timeout=0",
    ]);
    nothing_is_missing(lab, written(lab));
}

pub(crate) fn capture_goes_on_without_the_api_server(lab: &Lab) {
    let before = written(lab);
    let began = Instant::now();
    lab.daemon("kill", 1, "kube-apiserver");
    while began.elapsed() < Duration::from_secs(60) {
        assert!(lab.try_kubectl(&["get", "--raw", "/readyz"]).is_err(), "the API server is away");
        thread::sleep(Duration::from_secs(5));
    }
    lab.daemon("start", 1, "kube-apiserver");
    wait("nodes after the outage", 180, || {
        let nodes = lab.try_kubectl(&["get", "nodes", "--no-headers"])?;
        ensure(!nodes.contains("NotReady"), || nodes.clone())
    });
    // a line a second, and the minute of the outage is in it
    nothing_is_missing(lab, before + 50);
    let name = format!("after-{}", began.elapsed().as_millis());
    lab.apply(
        SHOP,
        &format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  containers:\n  \
            - {{name: say, image: IMAGE, imagePullPolicy: IfNotPresent, command: [sh, -c, \"echo here again; sleep 5\"]}}\n"),
    );
    let query =
        format!("SELECT pod FROM log WHERE namespace = '{SHOP}' AND pod = '{name}' AND container = 'say'");
    lab.api().rows("a pod of after the outage", &query);
}
