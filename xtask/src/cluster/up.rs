//! Starts the cluster, step by step; what fails half way is taken down again.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::programs::Programs;
use super::settings::{DNS_ADDRESS, DNS_DOMAIN, Node, REGISTRY, State};
use super::{control_plane, down, kubectl, needs, network, node, pki, programs, wait, wake};
use crate::{clock, image, out, run};

const COREDNS: &str = include_str!("coredns.yaml");

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many nodes: odd ones are in zone-a, even ones in zone-b.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: u8,
    /// Kubernetes alone, without Wake.
    #[arg(long)]
    bare: bool,
    #[command(flatten)]
    programs: image::Programs,
}

pub(super) fn main(args: &Args) -> Result<()> {
    wait::catch_signals()?;
    let _lock = State::find()?.lock()?;
    let (state, programs) = cluster(args.nodes)?;
    if !args.bare {
        let nodes = Node::all(args.nodes);
        let first = nodes.first().context("there is a node")?;
        let installed =
            wake::load(&state, &nodes, &args.programs).and_then(|_| wake::install(&state, &programs, first));
        if let Err(error) = installed {
            if wait::interrupted() {
                down::all()?;
                return Err(error);
            }
            out::note("the cluster stays up, so that a person can look: cargo xtask cluster down");
            return Err(error);
        }
    }
    let kubectl = programs.kube("kubectl");
    run::check(kubectl::command(&state, &programs).args(["get", "nodes", "-o", "wide"]))?;
    out::step("it runs until `cargo xtask cluster down`:");
    out::note(&format!("export KUBECONFIG={}", state.kubeconfig().display()));
    out::note(&format!("export PATH=$PATH:{}:{}", parent(&kubectl), parent(&programs.helm())));
    if !args.bare {
        out::note("kubectl -n wake get pods -o wide");
        out::note("helm -n wake get notes wake  # says how to ask");
    }
    out::note(&format!("logs of the daemons: {}", state.root().join("nodes/*/log").display()));
    Ok(())
}

fn parent(program: &std::path::Path) -> String {
    program.parent().map(|dir| dir.display().to_string()).unwrap_or_default()
}

/// A running cluster with DNS.
pub(super) fn cluster(count: u8) -> Result<(State, Programs)> {
    needs::check()?;
    let programs = programs::find()?;
    let state = State::find()?;
    down::all()?;
    let began = clock::now();
    out::step(&format!("starting Kubernetes with {count} nodes"));
    if let Err(error) = start(&state, &programs, count) {
        // the logs stay
        down::all().ok();
        return Err(error);
    }
    out::note(&format!("ready after {:.1} s", began.elapsed().as_secs_f64()));
    Ok((state, programs))
}

fn start(state: &State, programs: &Programs, count: u8) -> Result<()> {
    match fs::remove_dir_all(state.root()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove {}", state.root().display()));
        }
        _ => {}
    }
    let nodes = Node::all(count);
    let first = nodes.first().context("there is a node")?;
    pki::make(state, &nodes)?;
    let images = images(state, programs)?;
    network::make_bridge()?;
    for node in &nodes {
        node::make(state, node, &nodes)?;
    }
    thread::scope(|scope| {
        let loads: Vec<_> = nodes
            .iter()
            .map(|node| scope.spawn(|| images.iter().try_for_each(|image| node::import(state, node, image))))
            .collect();
        control_plane::start(state, programs, first)?;
        loads.into_iter().try_for_each(|load| load.join().ok().context("an import panicked")?)
    })?;
    for node in &nodes {
        node::join(state, programs, node)?;
    }
    for node in &nodes {
        node::connect(state, programs, node, &nodes)?;
    }
    wait::until("default service account", Duration::from_secs(60), || {
        kubectl::read(state, programs, &["get", "serviceaccount", "default"]).map(|_| true)
    })?;
    let dns = COREDNS.replace("CLUSTER_DNS", DNS_ADDRESS).replace("CLUSTER_DOMAIN", DNS_DOMAIN);
    kubectl::apply(state, programs, &dns.replace("REGISTRY", REGISTRY))?;
    for node in &nodes {
        node::wait_ready(state, programs, node)?;
    }
    let status = ["rollout", "status", "-n", "kube-system", "deployment/coredns", "--timeout=60s"];
    let mut rollout: Command = kubectl::command(state, programs);
    run::read(rollout.args(status)).map(drop)
}

/// Images of what every cluster needs and of the tests' pods.
fn images(state: &State, programs: &Programs) -> Result<Vec<PathBuf>> {
    let dir = state.root().join("images");
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    Ok(vec![
        image::pause(REGISTRY, &dir)?,
        image::coredns(REGISTRY, &programs.coredns(), &dir)?,
        image::tools(REGISTRY, &dir)?,
    ])
}
