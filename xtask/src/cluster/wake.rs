//! Wake in the cluster: its images in every node, the chart installed with the values of a test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::programs::Programs;
use super::settings::{Node, State};
use super::{chart, daemon, kubectl, node};
use crate::{image, out, run};

pub(super) const NAMESPACE: &str = "wake";
/// The directory of the aggregator's volume, in the first node.
pub(super) const VOLUME: &str = "/var/lib/wake-test-volume";
/// What a small shared machine has; every node is on one kernel, so one agent reports what is nobody's.
const VALUES: &str = include_str!("values.yaml");
const PATIENCE: Duration = Duration::from_secs(180);

/// A volume without a provisioner: it holds what the aggregator acknowledged, however often its pod is replaced.
fn volume(node: &Node) -> String {
    format!(
        "apiVersion: v1
kind: PersistentVolume
metadata: {{name: wake-test}}
spec:
  capacity: {{storage: 10Gi}}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: wake-test
  local: {{path: {VOLUME}}}
  nodeAffinity: {{required: {{nodeSelectorTerms: [{{matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [{}]}}]}}]}}}}
",
        node.name()
    )
}

/// Builds the images and loads them into every node.
pub(super) fn load(state: &State, nodes: &[Node], from: &image::Programs) -> Result<()> {
    load_as(state, nodes, from, env!("CARGO_PKG_VERSION"))
}

/// As `load`, with a tag of one's own.
pub(super) fn load_as(state: &State, nodes: &[Node], from: &image::Programs, tag: &str) -> Result<()> {
    let wake = image::wake(from, "localhost", tag, &image::directory())?;
    for node in nodes {
        for archive in [&wake.agent, &wake.aggregator] {
            node::import(state, node, archive)?;
        }
    }
    Ok(())
}

/// The values file of the test cluster.
fn values(state: &State) -> Result<PathBuf> {
    let path = state.root().join("values.yaml");
    std::fs::write(&path, VALUES).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// `helm install`, waiting until everything is Ready.
pub(super) fn install(state: &State, programs: &Programs, node: &Node) -> Result<()> {
    out::step("installing Wake by Helm");
    let mut mkdir = daemon::inside(state, &node.name(), "mkdir")?;
    run::read(mkdir.args(["-p", VOLUME]))?;
    kubectl::apply(state, programs, &volume(node))?;
    helm(state, programs, &["upgrade", "--install", "wake"], &values(state)?)
}

fn helm(state: &State, programs: &Programs, verb: &[&str], values: &Path) -> Result<()> {
    let mut helm = Command::new(programs.helm());
    helm.arg("--kubeconfig").arg(state.kubeconfig()).args(verb).arg(chart::dir());
    helm.args(["--namespace", NAMESPACE, "--create-namespace", "--values"]).arg(values);
    helm.args(["--wait", "--timeout", &format!("{}s", PATIENCE.as_secs())]);
    let installed = run::read(&mut helm).map(drop);
    installed.with_context(|| {
        let pods = ["get", "pods", "-n", NAMESPACE, "-o", "wide"];
        let events = ["get", "events", "-n", NAMESPACE, "--sort-by=.lastTimestamp"];
        let logs = ["logs", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=wake", "--prefix", "--tail=10"];
        let told =
            [&pods[..], &events, &logs].map(|args| kubectl::read(state, programs, args).unwrap_or_default());
        told.join("\n")
    })
}
