//! `cluster test`: a cluster, Wake in it, and the tests of `tests/cluster`, against this cluster or a person's own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::programs::Programs;
use super::settings::{Node, REGISTRY, State};
use super::{chart, down, programs, up, wait, wake};
use crate::{image, out, run, tree};

/// The whole run, cluster and all.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// The tag of the images of an earlier version.
const OLDER: &str = "older";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A cluster of yours, by its kubeconfig context, in which Wake is installed with images that it can pull and the
    /// tests' image (`--image`) is there too. Nothing of it is stopped.
    #[arg(long)]
    context: Option<String>,
    /// The image of the tests' pods: a shell, curl, httpd and awk.
    #[arg(long, default_value_t = format!("{REGISTRY}/tools:1"))]
    image: String,
    /// Values for the chart in a cluster of yours.
    #[arg(long, value_name = "FILE")]
    values: Option<PathBuf>,
    /// Use the cluster that `up` started, and leave it running.
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    programs: image::Programs,
    /// Programs of an earlier version, to be tried beside those of now, each way round.
    #[arg(long, value_name = "DIR")]
    older_bin_dir: Option<PathBuf>,
    /// Only tests whose name holds one of these.
    tests: Vec<String>,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    wait::catch_signals()?;
    if let Some(context) = &args.context {
        return elsewhere(args, context);
    }
    if args.keep {
        let (state, programs) = (State::find()?, programs::find()?);
        load_older(args, &state)?;
        return tests(args, &programs, &wake::values(&state)?, Some(&state));
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
    tests(args, &programs, &wake::values(&state)?, Some(&state))
}

/// What CI runs: everything, with the programs that its tests were built with.
pub(super) fn in_ci() -> Result<()> {
    main(&Args {
        context: None,
        image: format!("{REGISTRY}/tools:1"),
        values: None,
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
    let programs = programs::find()?;
    let Some(values) = &args.values else {
        bail!("--context needs --values FILE, with which Wake was installed there, and --image");
    };
    tests(args, &programs, values, None).with_context(|| format!("in {context}"))
}

fn tests(args: &Args, programs: &Programs, values: &Path, own: Option<&State>) -> Result<()> {
    if !args.programs.is_built() {
        out::step("building tests/cluster");
        let mut cargo = run::clean("cargo");
        cargo.current_dir(tree::root());
        run::check(cargo.args(["build", "--locked", "-p", "cluster-tests", "-p", "cli"]))?;
    }
    out::step("tests/cluster");
    let mut command = Command::new(tree::target().join("debug/cluster-tests"));
    command.args(&args.tests).env("RUST_BACKTRACE", "0").env("WAKE_TEST_KUBECTL", programs.kube("kubectl"));
    command.env("WAKE_TEST_HELM", programs.helm()).env("WAKE_TEST_CHART", chart::dir());
    command.env("WAKE_TEST_KUBECTL_WAKE", tree::target().join("debug/kubectl-wake"));
    command.env("WAKE_TEST_VALUES", values).env("WAKE_TEST_IMAGE", &args.image);
    if let Some(state) = own {
        command.env("KUBECONFIG", state.kubeconfig());
        command.env("WAKE_TEST_AUDIT", state.audit()).env("WAKE_TEST_XTASK", run::this_program());
    }
    if args.older_bin_dir.is_some() {
        command.env("WAKE_TEST_OLDER_TAG", OLDER);
    }
    if let Some(context) = &args.context {
        command.env("WAKE_TEST_CONTEXT", context);
    }
    run::check_within(&mut command, PATIENCE)
}
