//! The Helm chart: linted, rendered to the plain manifests, and both checked against Kubernetes' own schemas.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::programs::Programs;
use super::schemas;
use crate::{out, run, tree};

/// Where plain manifests install Wake.
const NAMESPACE: &str = "wake";
const HEAD: &str =
    "# Rendered from deploy/helm/wake by `cargo xtask cluster manifests`; change the chart, not this file.
#
#   kubectl apply -f wake.yaml
#
# The images are not published: load or push what `cargo xtask image` makes, and name the registry here.
apiVersion: v1
kind: Namespace
metadata:
  name: wake
  labels:
    # the agent shares the node's network and processes, which the restricted levels forbid
    pod-security.kubernetes.io/enforce: privileged
";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only say whether the file is as the chart would have it.
    #[arg(long)]
    check: bool,
}

pub(crate) fn dir() -> PathBuf {
    tree::root().join("deploy/helm/wake")
}

fn manifests() -> PathBuf {
    tree::root().join("deploy/manifests/wake.yaml")
}

pub(super) fn main(args: &Args) -> Result<()> {
    let programs = super::programs::find()?;
    if !args.check {
        let text = render(&programs, &[])?;
        fs::create_dir_all(tree::root().join("deploy/manifests"))?;
        fs::write(manifests(), text).context("write deploy/manifests/wake.yaml")?;
    }
    check(&programs)
}

/// Lint, freshness, schemas: of the defaults and with everything optional switched on.
pub(super) fn check(programs: &Programs) -> Result<()> {
    out::step("helm lint, kubeconform, deploy/manifests fresh");
    run::read(Command::new(programs.helm()).args(["lint", "--strict", "--quiet"]).arg(dir()))?;
    let plain = render(programs, &[])?;
    let committed = fs::read_to_string(manifests()).unwrap_or_default();
    if committed != plain {
        bail!(
            "deploy/manifests/wake.yaml is not what the chart renders; mend with: cargo xtask cluster manifests"
        );
    }
    let optional = [
        "serviceMonitor.enabled=true",
        "aggregator.persistence.enabled=false",
        "priorityClass.create=false",
        "otlp.enabled=true",
        "otlp.collectors={observability/collector}",
        "rbac.lookUpAgents=true",
        "networkPolicy.moreEgress[0].ports[0].port=4318",
        "aggregator.extraVolumes[0].name=certs",
        "aggregator.extraVolumes[0].secret.secretName=wake-certs",
        "aggregator.extraVolumeMounts[0].name=certs",
        "aggregator.extraVolumeMounts[0].mountPath=/var/run/secrets/wake/certs",
        "agent.extraVolumes[0].name=certs",
        "agent.extraVolumes[0].secret.secretName=wake-certs",
        "agent.extraVolumeMounts[0].name=certs",
        "agent.extraVolumeMounts[0].mountPath=/var/run/secrets/wake/certs",
    ];
    for (name, text) in [("plain", plain), ("optional", render(programs, &optional)?)] {
        conform(programs, name, &text)?;
    }
    Ok(())
}

fn render(programs: &Programs, set: &[&str]) -> Result<String> {
    let mut helm = Command::new(programs.helm());
    helm.args(["template", "wake"]).arg(dir()).args(["--namespace", NAMESPACE, "--kube-version", "1.34.0"]);
    for value in set {
        helm.args(["--set", value]);
    }
    Ok(format!("{HEAD}{}", run::read(&mut helm)?))
}

fn conform(programs: &Programs, name: &str, text: &str) -> Result<()> {
    let work = tree::target().join("cluster");
    let schemas = work.join("schemas");
    if !schemas.join("_definitions.json").is_file() {
        schemas::write(&programs.swagger(), &schemas)?;
    }
    let file = work.join(format!("{name}.yaml"));
    fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    let location = format!("{}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json", schemas.display());
    let mut kubeconform = Command::new(programs.kubeconform());
    // its schema belongs to Prometheus Operator
    kubeconform.args(["-strict", "-summary", "-skip", "ServiceMonitor", "-schema-location", &location]);
    let told = run::read(kubeconform.arg(&file)).with_context(|| format!("{name} manifests"))?;
    told.lines().for_each(out::note);
    Ok(())
}
