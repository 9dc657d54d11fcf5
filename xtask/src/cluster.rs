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

use std::time::Duration;

use anyhow::Result;
use clap::Subcommand;

use crate::out;

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

/// CI has 90 minutes; Kubernetes from source takes a quarter of an hour on two free cores, three times that on busy ones.
const LATEST_BUILD: Duration = Duration::from_secs(40 * 60);
/// One run takes some ten minutes, and ends by itself after half an hour.
const LATEST_START: Duration = Duration::from_secs(50 * 60);

/// The step of `cargo xtask ci`; `spent` is what that has taken until now. Where no cluster can run, or there is no time
/// left to build Kubernetes first, it says so and passes.
pub(crate) fn in_ci(spent: &dyn Fn() -> Duration) -> Result<()> {
    if let Some(reasons) = left_out(spent)? {
        out::note(&format!("left out: {reasons}"));
        out::note("cargo xtask cluster test runs it, and builds Kubernetes for the runs after it");
        return Ok(());
    }
    let Err(error) = test::in_ci() else { return Ok(()) };
    if wait::interrupted() || spent() > LATEST_START {
        return Err(error);
    }
    // a machine that stood still for a while fails what has a deadline; whoever reads the end of the run is to know of it
    out::note(&format!("{error:#}; once more, in a new cluster"));
    let second = test::in_ci();
    if second.is_ok() {
        out::error(&format!("UNSTEADY: passed only at the second try; the first: {error:#}"));
    }
    second
}

fn left_out(spent: &dyn Fn() -> Duration) -> Result<Option<String>> {
    if let Some(reasons) = needs::lacking() {
        return Ok(Some(reasons));
    }
    let late = || format!("{} minutes are spent: too few are left", spent().as_secs() / 60);
    match programs::why_not_built()? {
        None => {}
        Some(programs::NotBuilt::Never(reason)) => return Ok(Some(reason)),
        Some(programs::NotBuilt::Later) if spent() > LATEST_BUILD => return Ok(Some(late())),
        Some(programs::NotBuilt::Later) => drop(programs::find()?),
    }
    Ok((spent() > LATEST_START).then(late))
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
