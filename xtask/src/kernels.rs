//! `cargo xtask kernels`: every probe and its ground-truth tests on other kernels, in emulated machines.
//!
//! Flow: the kernel test binary → Debian's cloud kernels → an initramfs of both → qemu without KVM → one table.
//! A kernel that cannot be downloaded is said and is no failure, unless a Debian mirror is configured and gives none at
//! all; a probe test that fails is.

mod image;
mod packages;
mod table;
mod vm;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{clock, out, run, tree};

/// Debian's suites by the kernel that they carry; the last only with `--full`.
const SUITES: [(&str, &str); 4] =
    [("bullseye", "5.10"), ("bookworm", "6.1"), ("trixie", "6.12"), ("sid", "7.2")];

/// So many failed tests are tried again; where more fail it is not for a busy host.
const FEW: usize = 3;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also the newest kernel, from sid.
    #[arg(long)]
    full: bool,
    /// Only these kernels, e.g. 5.10.
    kernels: Vec<String>,
    /// Only tests whose name holds this.
    #[arg(long)]
    test: Option<String>,
    /// Run this test binary instead of building it.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Show what the machines print.
    #[arg(long)]
    verbose: bool,
    /// Build with the features of the whole workspace, as `cargo xtask test` has done just before.
    #[arg(long, hide = true)]
    workspace: bool,
}

impl Args {
    /// As `ci` calls it.
    pub(crate) fn in_ci(full: bool) -> Self {
        Self { full, kernels: Vec::new(), test: None, binary: None, verbose: false, workspace: true }
    }

    fn wants(&self, suite: &str, version: &str) -> bool {
        if self.kernels.is_empty() {
            self.full || suite != "sid"
        } else {
            self.kernels.iter().any(|k| k == version)
        }
    }
}

pub(crate) fn main(args: &Args) -> Result<()> {
    if std::env::consts::ARCH != "x86_64" {
        out::note("the kernels that are booted here are of x86_64 only");
        return Ok(());
    }
    let tools = image::Tools::find()?;
    let built = match &args.binary {
        Some(binary) => binary.clone(),
        None => build(args.workspace)?,
    };
    let binary = tree::target().join("kernels").join("kernel-tests");
    fs::create_dir_all(tree::target().join("kernels"))?;
    // the functions of a TLS library that a test has for the agent to find
    let kept = ["SSL_read", "SSL_write", "SSL_do_handshake"].map(|name| format!("--keep-symbol={name}"));
    run::check(Command::new("strip").args(kept).arg("-o").arg(&binary).arg(built))?;
    let go_pair = image::go_pair()?;
    let contents =
        image::Contents { tests: &binary, go_pair: go_pair.as_deref(), only: args.test.as_deref() };
    let mut runs = Vec::new();
    let mut absent = Vec::new();
    for (suite, version) in SUITES.iter().filter(|(suite, version)| args.wants(suite, version)) {
        out::step(&format!("kernel {version} ({suite})"));
        match packages::kernel(suite) {
            Ok(kernel) => {
                let began = clock::now();
                let run = run_on(&tools, &kernel, &contents, args.verbose)?;
                out::note(&format!(
                    "{}: {} passed, {} failed, {} skipped in {:.0} s",
                    kernel.release,
                    run.passed(),
                    run.failed().len(),
                    run.skipped.len(),
                    began.elapsed().as_secs_f64()
                ));
                runs.push(run);
            }
            Err(error) => {
                out::note(&format!("not run: {error:#}"));
                absent.push(*version);
            }
        }
    }
    if runs.is_empty() && packages::configured_mirror().is_some() {
        bail!("no kernel could be downloaded: {}", absent.join(", "));
    }
    table::print(&runs);
    for run in runs.iter().filter(|run| !run.unsteady.is_empty()) {
        out::error(&format!("UNSTEADY on {}: passed only alone: {}", run.release, run.unsteady.join(", ")));
    }
    if !absent.is_empty() {
        out::step(&format!("not run, for want of a download: {}", absent.join(", ")));
    }
    let failed: Vec<String> = runs.iter().flat_map(vm::Run::complaints).collect();
    if !failed.is_empty() {
        bail!("{}", failed.join("\n  "));
    }
    Ok(())
}

/// Boots the kernel, and once more for a machine that broke off, or alone for a few tests that failed: an emulated
/// machine stands still whenever its host is busy, and what such a test shows is then the host's.
fn run_on(
    tools: &image::Tools,
    kernel: &packages::Kernel,
    contents: &image::Contents<'_>,
    verbose: bool,
) -> Result<vm::Run> {
    let image = image::build(tools, kernel, contents)?;
    let mut run = vm::boot(tools, kernel, image.path(), verbose)?;
    if run.broke_off() {
        out::note("the machine broke off; booting it once more");
        run.complaints().iter().flat_map(|text| text.lines()).for_each(out::note);
        run = vm::boot(tools, kernel, image.path(), verbose)?;
    }
    let failed: Vec<String> = run.failed().into_iter().map(str::to_owned).collect();
    if (1..=FEW).contains(&failed.len()) {
        let failed_names = failed.join(" ");
        out::note(&format!("once more, alone: {failed_names}"));
        vm::keep_words(kernel);
        let contents = image::Contents { only: Some(&failed_names), ..*contents };
        let image = image::build(tools, kernel, &contents)?;
        let second = vm::boot(tools, kernel, image.path(), verbose)?;
        if run.is_mended_by(&second) {
            (run.exit, run.unsteady) = (second.exit, failed);
        }
    }
    Ok(run)
}

/// The test binary of `tests/kernel`.
fn build(workspace: bool) -> Result<PathBuf> {
    out::step("building the kernel tests");
    let mut cargo = run::clean("cargo");
    cargo.current_dir(tree::root()).args(["test", "--locked", "--no-run"]);
    cargo.args(if workspace { ["--workspace", "--all-targets"] } else { ["--package", "kernel-tests"] });
    let told = run::read_progress(&mut cargo)?;
    told.lines()
        .filter_map(|line| {
            line.trim_start().strip_prefix("Executable tests/kernel/main.rs (")?.strip_suffix(')')
        })
        .next_back()
        .map(|path| tree::root().join(path))
        .context("cargo names no executable of tests/kernel/main.rs")
}
