//! The cluster as a test sees it: kubectl, Wake's API, waiting with a deadline.

use std::env;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::api::Api;

/// Where the tests' workloads live; `OTHER` is whom nobody else may see.
pub(crate) const SHOP: &str = "wake-test-shop";
pub(crate) const OTHER: &str = "wake-test-other";
/// Where Wake lives.
pub(crate) const WAKE: &str = "wake";

/// A row of an answer, or an object of Kubernetes.
pub(crate) type Row = Value;

#[derive(Debug)]
pub(crate) struct Lab {
    kubectl: PathBuf,
    kubectl_wake: PathBuf,
    pub(crate) helm: PathBuf,
    pub(crate) chart: PathBuf,
    /// None when the cluster is a person's own: nothing of it is stopped there, and its audit log is not ours.
    pub(crate) own: Option<Own>,
    /// Whether a person has let Wake be restarted and reconfigured in a cluster of theirs.
    pub(crate) may_change_wake: bool,
    context: Vec<String>,
    /// The image of the tests' pods.
    image: String,
}

/// A cluster that `cargo xtask cluster` made.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) audit: PathBuf,
    /// Where the first node's kubelet looks for static pods.
    pub(crate) manifests: PathBuf,
    /// The aggregator's volume, in the first node.
    pub(crate) volume: PathBuf,
    xtask: PathBuf,
}

impl Lab {
    /// From what `cargo xtask cluster test` says.
    pub(crate) fn find() -> Self {
        let path = |name: &str| {
            PathBuf::from(
                env::var_os(name)
                    .unwrap_or_else(|| panic!("{name} is not set; run: cargo xtask cluster test")),
            )
        };
        let own = env::var_os("WAKE_TEST_AUDIT").map(|audit| Own {
            audit: PathBuf::from(audit),
            manifests: path("WAKE_TEST_MANIFESTS"),
            volume: path("WAKE_TEST_VOLUME"),
            xtask: path("WAKE_TEST_XTASK"),
        });
        let context = env::var("WAKE_TEST_CONTEXT").map(|name| vec![format!("--context={name}")]);
        Self {
            kubectl: path("WAKE_TEST_KUBECTL"),
            kubectl_wake: path("WAKE_TEST_KUBECTL_WAKE"),
            helm: path("WAKE_TEST_HELM"),
            chart: path("WAKE_TEST_CHART"),
            own,
            may_change_wake: env::var_os("WAKE_TEST_CHANGE_WAKE").is_some(),
            context: context.unwrap_or_default(),
            image: env::var("WAKE_TEST_IMAGE").unwrap(),
        }
    }

    /// The image of the tests' pods.
    pub(crate) fn image(&self) -> &str {
        &self.image
    }

    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        self.try_kubectl(args).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn try_kubectl(&self, args: &[&str]) -> Result<String, String> {
        let mut command = self.command();
        read(command.args(["--request-timeout=20s"]).args(args))
    }

    /// For what runs on while a test works.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.args(&self.context).stdin(Stdio::null());
        command
    }

    /// `kubectl wake`, as a person calls it.
    pub(crate) fn kubectl_wake(&self, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&self.kubectl_wake);
        read(command.args(&self.context).args(args))
    }

    /// `helm`, in Wake's namespace.
    pub(crate) fn helm(&self, args: &[&str]) -> String {
        let mut helm = Command::new(&self.helm);
        helm.args(self.context.iter().map(|context| context.replace("--context", "--kube-context")));
        read(helm.args(args).args(["--namespace", WAKE])).unwrap_or_else(|error| panic!("{error}"))
    }

    /// `kubectl get ARGS` as JSON.
    pub(crate) fn get(&self, args: &[&str]) -> Value {
        let mut all = vec!["get", "-o", "json"];
        all.extend(args);
        serde_json::from_str(&self.kubectl(&all)).unwrap()
    }

    /// The items of `kubectl get ARGS`.
    pub(crate) fn items(&self, args: &[&str]) -> Vec<Row> {
        self.get(args)["items"].as_array().cloned().unwrap_or_default()
    }

    /// Applies a manifest in which `IMAGE` is the image of the tests.
    pub(crate) fn apply(&self, namespace: &str, manifest: &str) {
        let manifest = manifest.replace("IMAGE", &self.image);
        // on a busy machine etcd is late now and then
        wait("kubectl apply", 60, || {
            let mut command = self.command();
            command.args(["apply", "-n", namespace, "-f", "-"]).stdin(Stdio::piped());
            let mut child = command
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .map_err(|error| error.to_string())?;
            let written = child.stdin.take().unwrap().write_all(manifest.as_bytes());
            let output = child.wait_with_output().map_err(|error| error.to_string())?;
            written.map_err(|error| error.to_string())?;
            ensure(output.status.success(), || String::from_utf8_lossy(&output.stderr).into_owned())
        });
    }

    /// Stops, kills or starts a daemon of the cluster that is ours.
    pub(crate) fn daemon(&self, act: &str, node: u8, name: &str) {
        let own = self.own.as_ref().expect("only asked for in a cluster of our own");
        let mut xtask = Command::new(&own.xtask);
        read(xtask.args(["cluster", "daemon", act, &node.to_string(), name]))
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// The name of the cluster on every row, as the chart's values have it: by default the uid of kube-system.
    pub(crate) fn cluster(&self) -> String {
        let values: Value =
            serde_json::from_str(&self.helm(&["get", "values", "wake", "--all", "-o", "json"])).unwrap();
        match text(&values, "cluster") {
            "" => text(&self.get(&["namespace", "kube-system"])["metadata"], "uid").to_owned(),
            name => name.to_owned(),
        }
    }

    /// When this run began, as a literal of SQL: the store keeps rows of earlier ones.
    pub(crate) fn since(&self) -> String {
        let namespace = self.get(&["namespace", SHOP]);
        let made = text(&namespace["metadata"], "creationTimestamp").trim_end_matches('Z').to_owned();
        format!("TIMESTAMP '{made}'")
    }

    /// Takes away who may ask as an operator.
    pub(crate) fn forget_operator(&self) {
        for kind in ["clusterrolebinding", "serviceaccount"] {
            let name = [kind, "wake-test-operator"];
            self.kubectl(&[&["delete", "-n", "default", "--ignore-not-found"], &name[..]].concat());
        }
    }

    /// Wake's API as an operator.
    pub(crate) fn api(&self) -> Api {
        self.apply("default", OPERATOR);
        let token = self.kubectl(&["create", "token", "wake-test-operator", "-n", "default"]);
        Api::open(self, Some(token.trim()))
    }
}

/// Who may read every pod's log sees everything.
const OPERATOR: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: wake-test-operator}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: wake-test-operator}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: wake-test-operator, namespace: default}]
";

/// Standard output of a program that succeeds.
pub(crate) fn read(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let mut told = format!("{command:?}: {}", output.status);
    write!(told, "\n{text}{}", String::from_utf8_lossy(&output.stderr)).unwrap();
    Err(told)
}

/// Looks until `found` finds something; a test fails with what it saw last.
#[track_caller]
pub(crate) fn wait<T>(what: &str, seconds: u64, mut found: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match found() {
            Ok(value) => return value,
            Err(last) if began.elapsed() > Duration::from_secs(seconds) => {
                panic!("{what}: not within {seconds} s: {last}")
            }
            Err(_) => thread::sleep(Duration::from_millis(500)),
        }
    }
}

/// An error that shows what was seen, unless `holds`.
pub(crate) fn ensure(holds: bool, seen: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(seen()) }
}

/// The text of a field, empty when absent.
pub(crate) fn text<'a>(row: &'a Row, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_default()
}
