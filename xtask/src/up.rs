//! `cargo xtask up`: builds Wake and runs it on this host until Ctrl-C.
//!
//! Flow: what is missing → build → addresses and config → aggregator → agent (as root) → what runs → wait → stop.
//! Invariant: whatever ends it, both children end too, the agent first, so that what it holds still arrives.

mod child;
mod config;
mod needs;
mod report;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use self::child::Child;
use self::config::Layout;
use self::needs::Rights;
use crate::{clock, out, run, tree};

/// Between two looks at the children.
const LOOK: Duration = Duration::from_millis(200);
/// How long a part may take until it is ready; recovering a large store takes longest.
const READY: Duration = Duration::from_secs(120);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Cargo profile to build with; `release` is slower to build and faster to run.
    #[arg(long, default_value = "up")]
    profile: String,
    /// Start the programs in this directory instead of building them.
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// Where data and config go (default: /var/lib/wake as root, else $XDG_STATE_HOME/wake). An agent started through
    /// sudo has its own in /var/lib/wake/agent.
    #[arg(long)]
    state_dir: Option<PathBuf>,
    /// Start, show what runs, and end.
    #[arg(long)]
    once: bool,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    let rights = needs::check()?;
    let stop = signals()?;
    let bin = match &args.bin_dir {
        Some(dir) => std::path::absolute(dir).context("find the programs")?,
        None => build(&args.profile)?,
    };
    let began = clock::now();
    let layout = config::prepare(args.state_dir.as_deref(), &rights)?;

    out::step("starting wake-aggregator");
    let mut aggregator = Child::start("wake-aggregator", &bin, &layout.aggregator, &Rights::Own)?;
    aggregator.wait_ready(layout.api, READY, &stop)?;
    let mut agent = None;
    match &rights {
        Rights::None { how } => report::without_agent(&bin, &layout, how),
        rights => {
            if let Rights::Sudo = rights {
                out::step(
                    "starting wake-agent through sudo: loading eBPF programs and reading other people's logs needs root",
                );
                run::check(std::process::Command::new("sudo").arg("-v"))?;
            } else {
                out::step("starting wake-agent");
            }
            let agent = agent.insert(Child::start("wake-agent", &bin, &layout.agent, rights)?);
            agent.wait_ready(layout.admin, READY, &stop)?;
        }
    }
    report::running(&bin, &layout, agent.is_some(), began.elapsed());
    if args.once {
        return end(agent, aggregator);
    }
    let ended = watch(&stop, agent.as_mut(), &mut aggregator);
    out::step("stopping");
    let stopped = end(agent, aggregator);
    ended.and(stopped)
}

/// Where the built programs lie.
fn build(profile: &str) -> Result<PathBuf> {
    out::step(&format!(
        "building (profile {profile}); the first time takes some minutes, later ones seconds"
    ));
    let mut cargo = run::clean("cargo");
    cargo.current_dir(tree::root()).args(["build", "--locked", "--profile", profile]);
    run::check(cargo.args(["-p", "aggregator", "-p", "agent", "-p", "cli"]))?;
    let dir = if profile == "dev" { "debug" } else { profile };
    Ok(tree::target().join(dir))
}

/// Ctrl-C and SIGTERM, as messages.
fn signals() -> Result<Receiver<i32>> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals =
        signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]).context("catch signals")?;
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if sender.send(signal).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}

/// Waits for Ctrl-C; a child that ends first is an error.
fn watch(stop: &Receiver<i32>, mut agent: Option<&mut Child>, aggregator: &mut Child) -> Result<()> {
    loop {
        match stop.recv_timeout(LOOK) {
            Ok(_) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        aggregator.check()?;
        if let Some(agent) = agent.as_deref_mut() {
            agent.check()?;
        }
    }
}

/// Ends the agent, then the aggregator: at most 5 s together.
fn end(agent: Option<Child>, aggregator: Child) -> Result<()> {
    let began = clock::now();
    let mut late = Vec::new();
    for (child, by) in [(agent, Duration::from_millis(3200)), (Some(aggregator), Duration::from_millis(4800))]
    {
        late.extend(child.and_then(|child| child.stop(by.saturating_sub(began.elapsed()))));
    }
    if !late.is_empty() {
        bail!("ended by force, being late: {}", late.join(", "));
    }
    out::note(&format!("ended in {:.1} s", began.elapsed().as_secs_f64()));
    Ok(())
}

/// `path` as it is shortest to type from here.
fn typed(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}

/// The settings of one program.
#[derive(Debug)]
pub(crate) struct Program {
    config: PathBuf,
    log: PathBuf,
    /// Overrides of the config: addresses that were free today.
    environment: Vec<(String, String)>,
}

impl Layout {
    fn server(&self) -> String {
        format!("http://{}", self.api)
    }
}
