//! Names, addresses and directories of the cluster: all its own, so that it meets nothing else on the machine.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::wait;
use crate::{out, tree};

/// How long another run is waited for: the whole suite takes some ten minutes.
const OTHERS: Duration = Duration::from_secs(20 * 60);
/// Prefix of the network namespaces, the bridge and the veths (an interface's name has at most 15 letters).
pub(super) const PREFIX: &str = "wakec";
/// The cgroup of the whole cluster in every hierarchy; each node is a child of it.
pub(super) const CGROUP: &str = "wake-cluster";
/// First three octets of the nodes' addresses; the bridge in the machine's own network namespace has `.1`.
pub(super) const NETWORK: &str = "10.198.0";
pub(super) const POD_CIDR: &str = "10.245.0.0/16";
pub(super) const SERVICE_CIDR: &str = "10.97.0.0/16";
pub(super) const FIRST_SERVICE: &str = "10.97.0.1";
pub(super) const DNS_ADDRESS: &str = "10.97.0.10";
pub(super) const DNS_DOMAIN: &str = "cluster.local";
/// Where images of tests are named; nothing is ever pulled.
pub(crate) const REGISTRY: &str = "wake.test";

/// A node: `node1` holds the control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) number: u8,
}

impl Node {
    pub(super) fn all(count: u8) -> Vec<Self> {
        (1..=count).map(|number| Self { number }).collect()
    }

    pub(super) fn name(&self) -> String {
        format!("node{}", self.number)
    }

    pub(super) fn address(&self) -> String {
        format!("{NETWORK}.{}", self.number + 1)
    }

    pub(super) fn zone(&self) -> &'static str {
        if self.number % 2 == 1 { "zone-a" } else { "zone-b" }
    }

    pub(super) fn netns(&self) -> String {
        format!("{PREFIX}-{}", self.name())
    }

    pub(super) fn veth(&self) -> String {
        format!("{PREFIX}{}", self.number)
    }
}

/// The bridge between the nodes.
pub(super) fn bridge() -> String {
    format!("{PREFIX}-br")
}

/// Where the cluster keeps what it writes; made anew by each `up`.
#[derive(Clone, Debug)]
pub(crate) struct State(PathBuf);

impl State {
    pub(crate) fn find() -> Result<Self> {
        Ok(Self(tree::from_home("XDG_STATE_HOME", ".local/state")?.join("cluster")))
    }

    pub(super) fn root(&self) -> &PathBuf {
        &self.0
    }

    /// Held while a cluster is made or tested: there is one at a time on a machine. Another run is waited for, not
    /// for ever.
    pub(super) fn lock(&self) -> Result<File> {
        let path = self.0.with_extension("lock");
        fs::create_dir_all(path.parent().unwrap_or(&self.0))?;
        let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        if file.try_lock().is_err() {
            out::note("waiting for another run of `cargo xtask cluster` to end");
            wait::until("end of another run that holds this machine's one cluster", OTHERS, || {
                Ok(file.try_lock().is_ok())
            })?;
        }
        Ok(file)
    }

    /// The kubeconfig of the cluster's administrator.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.0.join("kube/admin.kubeconfig")
    }

    pub(super) fn pki(&self) -> PathBuf {
        self.0.join("kube/pki")
    }

    pub(super) fn config_of(&self, user: &str) -> PathBuf {
        self.0.join(format!("kube/{user}.kubeconfig"))
    }

    /// The API server's audit log: one JSON object per request.
    pub(crate) fn audit(&self) -> PathBuf {
        self.0.join("audit/audit.log")
    }

    pub(super) fn node(&self, node: &str) -> PathBuf {
        self.0.join("nodes").join(node)
    }

    pub(super) fn log(&self, node: &str, daemon: &str) -> PathBuf {
        self.node(node).join("log").join(format!("{daemon}.log"))
    }
}
