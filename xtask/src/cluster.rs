//! `cargo xtask cluster up|test|down`: a real Kubernetes on this machine, with Wake in it.
//!
//! Flow: programs from the cache → certificates → nodes (namespaces, cgroups, containerd) → control plane → kubelets →
//! DNS → images → Wake by Helm. Everything runs below one cgroup and in namespaces of its own, so `down` ends it in a
//! second and leaves nothing; `up` begins with it, since an earlier run may have died.

mod cgroups;
mod chart;
mod control_plane;
mod daemon;
mod down;
mod kubectl;
mod needs;
mod network;
mod node;
mod pki;
mod programs;
mod schemas;
mod settings;
mod test;
mod up;
mod wait;
mod wake;

use anyhow::Result;
use clap::Subcommand;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start a cluster on this machine and install Wake in it; it runs on until `down`.
    Up(up::Args),
    /// Start a cluster, install Wake, run tests/cluster, and end it.
    Test(test::Args),
    /// End the cluster and remove all that it made but its logs.
    Down,
    /// Render deploy/manifests from the chart and check both against Kubernetes' schemas.
    Manifests(chart::Args),
    /// Stop, kill, freeze or start again one daemon of a node: what the tests do to the cluster.
    #[command(hide = true)]
    Daemon(down::DaemonArgs),
}

pub(crate) fn main(args: &Args) -> Result<()> {
    match &args.verb {
        Verb::Up(args) => up::main(args),
        Verb::Test(args) => test::main(args),
        Verb::Down => down::main(),
        Verb::Manifests(args) => chart::main(args),
        Verb::Daemon(args) => down::daemon(args),
    }
}
