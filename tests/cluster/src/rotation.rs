//! Certificates given as Secrets, and replaced while batches flow: nobody restarts, nothing acknowledged is lost.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::lab::{Lab, WAKE, ensure, read, text, wait};
use crate::lifecycle::a_new_pod_is_seen;
use crate::outages::{nothing_is_missing, written};

/// Where both programs find them.
const DIR: &str = "/var/run/secrets/wake/certs";

/// A CA, as cert-manager or a person would have one, and what it signs.
struct Authority<'a>(&'a Path);

impl Authority<'_> {
    fn openssl(&self, args: &[&str]) {
        read(Command::new("openssl").current_dir(self.0).args(args))
            .unwrap_or_else(|error| panic!("{error}"));
    }

    fn make(&self) {
        let subject =
            ["req", "-x509", "-days", "2", "-subj", "/CN=wake-test", "-keyout", "ca.key", "-out", "ca.crt"];
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let what =
            ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"];
        self.openssl(&[&subject[..], &key, &what].concat());
    }

    /// A new key and its certificate, as `NAME.key` and `NAME.crt`.
    fn sign(&self, name: &str, usage: &str, names: &str) {
        let [key, crt, csr, ext] = ["key", "crt", "csr", "ext"].map(|kind| format!("{name}.{kind}"));
        let extensions = format!(
            "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage={usage}\nsubjectAltName={names}\n"
        );
        fs::write(self.0.join(&ext), extensions).unwrap();
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let request = ["req", "-subj", "/CN=wake-test", "-keyout", &key, "-out", &csr];
        self.openssl(&[&request[..], &curve].concat());
        let sign = ["x509", "-req", "-in", &csr, "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
        self.openssl(&[&sign[..], &["-days", "1", "-extfile", &ext, "-out", &crt]].concat());
    }

    /// New ones for the aggregator and every node, as one Secret. Its owners would each get their own.
    fn secret(&self, lab: &Lab, nodes: &[String]) {
        let names = format!("DNS:localhost,IP:127.0.0.1,DNS:wake-aggregator,DNS:wake-aggregator.{WAKE}.svc");
        self.sign("aggregator", "serverAuth", &names);
        let mut files = BTreeMap::from([("ca.crt".to_owned(), self.text("ca.crt"))]);
        for node in nodes {
            self.sign(node, "clientAuth", &format!("URI:spiffe://wake/node/{node}"));
        }
        for name in nodes.iter().map(String::as_str).chain(["aggregator"]) {
            for kind in ["crt", "key"] {
                let file = format!("{name}.{kind}");
                files.insert(file.clone(), self.text(&file));
            }
        }
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "wake-test-certs"}, "stringData": files});
        lab.apply(WAKE, &secret.to_string());
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap()
    }
}

/// The chart's values that take certificates from the Secret.
fn values(dir: &Path) -> String {
    let volumes = json!([{"name": "certs", "secret": {"secretName": "wake-test-certs"}}]);
    let mounts = json!([{"name": "certs", "mountPath": DIR, "readOnly": true}]);
    let of_node = |kind: &str| {
        let value = format!("{DIR}/$(WAKE_AGENT__NODE__NAME).{}", if kind == "KEY" { "key" } else { "crt" });
        json!({"name": format!("WAKE_AGENT__TLS__{kind}"), "value": value})
    };
    let aggregator = json!({"mode": "files", "certificate": format!("{DIR}/aggregator.crt"),
        "key": format!("{DIR}/aggregator.key"), "client_ca": format!("{DIR}/ca.crt")});
    let agent = json!({"mode": "files", "ca": format!("{DIR}/ca.crt")});
    let values = json!({
        "aggregator": {"config": {"tls": aggregator}, "extraVolumes": volumes, "extraVolumeMounts": mounts},
        "agent": {"config": {"tls": agent}, "extraVolumes": volumes, "extraVolumeMounts": mounts,
            "extraEnv": [of_node("CERTIFICATE"), of_node("KEY")]},
    });
    let path = dir.join("values.json");
    fs::write(&path, values.to_string()).unwrap();
    path.display().to_string()
}

/// Since when each node's agent is connected.
fn connected(lab: &Lab) -> Result<BTreeMap<String, String>, String> {
    let (status, body) = lab.api().call("GET", "/api/v1/status", None)?;
    ensure(status == 200, || body.clone())?;
    let status: Value = serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
    let agents = status["agents"].as_array().cloned().unwrap_or_default();
    let connected = agents.iter().filter(|agent| agent["connected"] == true);
    Ok(connected
        .map(|agent| (text(agent, "node").to_owned(), text(agent, "connected_since").to_owned()))
        .collect())
}

/// Uid and restarts of each of Wake's pods.
pub(crate) fn pods(lab: &Lab) -> Vec<String> {
    let pods = lab.items(&["pods", "-n", WAKE, "-l", "app.kubernetes.io/name=wake"]);
    let mut all: Vec<String> = pods
        .iter()
        .map(|pod| {
            format!(
                "{} {}",
                text(&pod["metadata"], "uid"),
                pod["status"]["containerStatuses"][0]["restartCount"]
            )
        })
        .collect();
    all.sort_unstable();
    all
}

pub(crate) fn certificates_given_as_secrets_are_replaced_under_way(lab: &Lab) {
    let dir = std::env::temp_dir().join(format!("wake-test-certs-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let nodes: Vec<String> =
        lab.items(&["nodes"]).iter().map(|node| text(&node["metadata"], "name").to_owned()).collect();
    let authority = Authority(&dir);
    authority.make();
    authority.secret(lab, &nodes);
    let chart = lab.chart.display().to_string();
    let set = [
        "upgrade",
        "wake",
        &chart,
        "--reuse-values",
        "--values",
        &values(&dir),
        "--wait",
        "--timeout",
        "180s",
    ];
    lab.helm(&set);
    a_new_pod_is_seen(lab, "certificates-given");
    let before = wait("connected agents", 60, || {
        let connected = connected(lab)?;
        ensure(connected.len() == nodes.len(), || format!("{connected:?}"))?;
        Ok(connected)
    });
    let (pods_before, lines_before) = (pods(lab), written(lab));
    authority.secret(lab, &nodes);
    // kubelet looks every few seconds, the programs look as often
    wait("agents that have connected with their new certificates", 240, || {
        let now = connected(lab)?;
        let is_new = |node: &String| now.get(node).is_some_and(|since| *since != before[node]);
        ensure(nodes.iter().all(is_new), || format!("{now:?} after {before:?}"))
    });
    assert_eq!(pods(lab), pods_before, "nobody restarted");
    nothing_is_missing(lab, lines_before);
    a_new_pod_is_seen(lab, "certificates-replaced");
    lab.helm(&["rollback", "wake", "--wait", "--timeout", "180s"]);
    lab.kubectl(&["delete", "secret", "wake-test-certs", "-n", WAKE]);
    fs::remove_dir_all(&dir).ok();
    a_new_pod_is_seen(lab, "certificates-enrolled");
}
