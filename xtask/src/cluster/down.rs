//! Ends the cluster, or, for the tests, one daemon of it.

use std::fs;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use super::settings::{Node, State};
use super::{cgroups, daemon, needs, network, programs};
use crate::{clock, out};

pub(super) fn main() -> Result<()> {
    needs::check()?;
    let began = clock::now();
    all()?;
    out::note(&format!("the cluster is down ({:.1} s)", began.elapsed().as_secs_f64()));
    Ok(())
}

/// Everything but the logs: processes, cgroups, namespaces, bridge, and what the nodes have written, images above all.
/// Mounts go with their namespace.
pub(super) fn all() -> Result<()> {
    cgroups::remove()?;
    State::find()?.forget_pids()?;
    network::remove();
    let Ok(nodes) = fs::read_dir(State::find()?.root().join("nodes")) else { return Ok(()) };
    for node in nodes {
        let root = node?.path().join("root");
        match fs::remove_dir_all(&root) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove {}", root.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What to do to a daemon.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Act {
    /// SIGKILL, and wait for its end.
    Kill,
    /// SIGTERM, and wait for its end.
    Stop,
    /// SIGSTOP: its connections hang.
    Freeze,
    /// SIGCONT.
    Thaw,
    /// Start it as it was started first.
    Start,
}

#[derive(Debug, clap::Args)]
pub(super) struct DaemonArgs {
    act: Act,
    /// The node's number; the control plane is in 1.
    node: u8,
    /// E.g. kube-apiserver, kubelet, containerd.
    name: String,
}

pub(super) fn daemon(args: &DaemonArgs) -> Result<()> {
    let state = State::find()?;
    let node = Node { number: args.node };
    let name = node.name();
    match args.act {
        Act::Kill => daemon::signal(&state, &name, &args.name, Signal::KILL),
        Act::Stop => daemon::signal(&state, &name, &args.name, Signal::TERM),
        Act::Freeze => daemon::signal(&state, &name, &args.name, Signal::STOP),
        Act::Thaw => daemon::signal(&state, &name, &args.name, Signal::CONT),
        Act::Start => {
            if !state.node(&name).is_dir() {
                bail!("{name} is not up");
            }
            daemon::start_again(&state, &name, &args.name)?;
            if args.name == super::control_plane::APISERVER {
                super::control_plane::wait_api(&state, &programs::find()?, &node)?;
            }
            Ok(())
        }
    }
}
