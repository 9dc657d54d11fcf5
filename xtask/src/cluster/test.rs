//! `cluster test`: a cluster, Wake in it, and the tests of `tests/cluster`, against this cluster or a person's own.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::programs::Programs;
use super::settings::{Node, REGISTRY, State};
use super::{chart, down, node, programs, up, wait, wake};
use crate::{image, out, run, tree};

/// The whole run, cluster and all.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// The tag of the images of an earlier version.
const OLDER: &str = "older";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A cluster of yours, by its kubeconfig context, with Wake installed by Helm as `wake` in the namespace `wake`, and
    /// the tests' image (`cargo xtask image --tests`) where its nodes find it.
    #[arg(long)]
    context: Option<String>,
    /// Tests that restart Wake there, set its certificates and images and roll back, too. Its rows stay.
    #[arg(long, requires = "context")]
    change_wake: bool,
    /// The image of the tests' pods: a shell, curl, httpd and awk.
    #[arg(long, default_value_t = format!("{REGISTRY}/tools:1"))]
    image: String,
    /// Use the cluster that `up` started, and leave it running.
    #[arg(long, conflicts_with = "context")]
    keep: bool,
    #[command(flatten)]
    programs: image::Programs,
    /// Programs of an earlier version, to be tried beside those of now, each way round.
    #[arg(long, value_name = "DIR", conflicts_with = "context")]
    older_bin_dir: Option<PathBuf>,
    /// Only tests whose name holds one of these.
    tests: Vec<String>,
}

/// What asks the cluster.
struct Clients {
    kubectl: PathBuf,
    helm: PathBuf,
}

impl Clients {
    fn ours(programs: &Programs) -> Self {
        Self { kubectl: programs.kube("kubectl"), helm: programs.helm() }
    }

    /// Those in `PATH`, which know how to reach a person's cluster; ours, built if need be, where there are none.
    fn theirs() -> Result<Self> {
        match (tree::find_program("kubectl", &[]), tree::find_program("helm", &[])) {
            (Some(kubectl), Some(helm)) => Ok(Self { kubectl, helm }),
            _ => Ok(Self::ours(&programs::find()?)),
        }
    }
}

pub(crate) fn main(args: &Args) -> Result<()> {
    wait::catch_signals()?;
    if let Some(context) = &args.context {
        return elsewhere(args, context);
    }
    if args.keep {
        let (state, programs) = (State::find()?, programs::find()?);
        load_older(args, &state)?;
        return tests(args, &Clients::ours(&programs), Some(&state));
    }
    let _lock = State::find()?.lock()?;
    let result = here(args);
    let removed = down::all();
    result.and(removed)
}

fn here(args: &Args) -> Result<()> {
    let (state, programs) = up::cluster(2)?;
    chart::check(&programs)?;
    let nodes = Node::all(2);
    wake::load(&state, &nodes, &args.programs)?;
    load_older(args, &state)?;
    wake::install(&state, &programs, nodes.first().context("there is a node")?)?;
    tests(args, &Clients::ours(&programs), Some(&state))
}

/// What CI runs: everything, with the programs that its tests were built with.
pub(super) fn in_ci() -> Result<()> {
    main(&Args {
        context: None,
        change_wake: false,
        image: format!("{REGISTRY}/tools:1"),
        keep: false,
        programs: image::Programs::built(),
        older_bin_dir: None,
        tests: Vec::new(),
    })
}

/// Images of the earlier version into every node.
fn load_older(args: &Args, state: &State) -> Result<()> {
    let Some(dir) = &args.older_bin_dir else { return Ok(()) };
    wake::load_as(state, &Node::all(2), &image::Programs::packed(dir), OLDER)
}

fn elsewhere(args: &Args, context: &str) -> Result<()> {
    let clients = Clients::theirs()?;
    let mut helm = Command::new(&clients.helm);
    helm.args(["--kube-context", context, "--namespace", wake::NAMESPACE, "status", "wake"]);
    run::read(&mut helm).with_context(|| {
        format!("Wake is to be installed in {context} first: helm install wake deploy/helm/wake --namespace wake --create-namespace")
    })?;
    tests(args, &clients, None).with_context(|| format!("in {context}"))
}

fn tests(args: &Args, clients: &Clients, own: Option<&State>) -> Result<()> {
    if !args.programs.is_built() {
        out::step("building tests/cluster");
        let mut cargo = run::clean("cargo");
        cargo.current_dir(tree::root());
        run::check(cargo.args(["build", "--locked", "-p", "cluster-tests", "-p", "cli"]))?;
    }
    out::step("tests/cluster");
    let mut command = Command::new(tree::target().join("debug/cluster-tests"));
    command.args(&args.tests).env("RUST_BACKTRACE", "0").env("WAKE_TEST_KUBECTL", &clients.kubectl);
    command.env("WAKE_TEST_HELM", &clients.helm).env("WAKE_TEST_CHART", chart::dir());
    command.env("WAKE_TEST_KUBECTL_WAKE", tree::target().join("debug/kubectl-wake"));
    command.env("WAKE_TEST_IMAGE", &args.image);
    if let Some(state) = own {
        command.env("KUBECONFIG", state.kubeconfig());
        let first = state.node("node1");
        command.env("WAKE_TEST_MANIFESTS", first.join(node::MANIFESTS));
        command.env("WAKE_TEST_VOLUME", first.join("root").join(wake::VOLUME.trim_start_matches('/')));
        command.env("WAKE_TEST_AUDIT", state.audit()).env("WAKE_TEST_XTASK", run::this_program());
    }
    if args.older_bin_dir.is_some() {
        command.env("WAKE_TEST_OLDER_TAG", OLDER);
    }
    if let Some(context) = &args.context {
        command.env("WAKE_TEST_CONTEXT", context);
    }
    if args.change_wake {
        command.env("WAKE_TEST_CHANGE_WAKE", "1");
    }
    run::check_within(&mut command, PATIENCE)
}
