//! kubectl as the cluster's administrator.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::programs::Programs;
use super::settings::State;
use crate::run;

pub(super) fn command(state: &State, programs: &Programs) -> Command {
    let mut kubectl = Command::new(programs.kube("kubectl"));
    kubectl.arg("--kubeconfig").arg(state.kubeconfig()).arg("--request-timeout=10s");
    kubectl
}

/// Standard output of `kubectl ARGS`.
pub(super) fn read(state: &State, programs: &Programs, args: &[&str]) -> Result<String> {
    run::read(command(state, programs).args(args))
}

/// `kubectl apply` of a manifest.
pub(super) fn apply(state: &State, programs: &Programs, manifest: &str) -> Result<()> {
    let mut child = command(state, programs)
        .args(["apply", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context("start kubectl apply")?;
    let mut input = child.stdin.take().context("kubectl's input")?;
    input.write_all(manifest.as_bytes()).context("write to kubectl apply")?;
    drop(input);
    let status = child.wait().context("wait for kubectl apply")?;
    if !status.success() {
        bail!("kubectl apply: {status}");
    }
    Ok(())
}
