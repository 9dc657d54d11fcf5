//! Running programs: inherited output, checked exit.

mod deadline;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

pub(crate) use deadline::check_within;

/// What cargo and rustup set for the programs that they start; a nested cargo must not see it.
const INHERITED: [&str; 14] = [
    "CARGO",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_PKG_NAME",
    "CARGO_PKG_VERSION",
    "LD_LIBRARY_PATH",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
    "RUST_RECURSION_COUNT",
];

/// Settings of cargo's that say where things come from and how that is shown, not what is made of them.
const FETCHES: [&str; 7] = [
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTR",
    "CARGO_SOURCE_",
    "CARGO_TERM_",
    "CARGO_CACHE_",
];

/// `program` without what an outer cargo has put into the environment.
pub(crate) fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    for name in INHERITED {
        command.env_remove(name);
    }
    command
}

/// As `clean`, and without any setting of cargo's that changes what it builds: the same sources give the same bytes
/// whatever the caller has set. Where it finds and fetches things stays as it is.
pub(crate) fn reproducible(program: &str) -> Command {
    let mut command = clean(program);
    for (name, _) in std::env::vars_os() {
        let shown = name.to_string_lossy();
        let builds =
            shown.starts_with("CARGO_") || shown.starts_with("__CARGO_") || shown.starts_with("RUSTC_");
        if builds && !FETCHES.iter().any(|kept| shown.starts_with(kept)) {
            command.env_remove(&name);
        }
    }
    command
}

/// This program, to be started again while it runs: by its process, for a build under way may put another file in its
/// place (then the kernel calls its old path "(deleted)").
pub(crate) fn this_program() -> PathBuf {
    PathBuf::from(format!("/proc/{}/exe", std::process::id()))
}

/// Runs to the end with this terminal's output; fails unless it succeeds.
pub(crate) fn check(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("start {shown}"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}

/// Runs to the end and returns standard output; fails, with standard error, unless it succeeds.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("start {shown}"))?;
    if !output.status.success() {
        bail!("{shown}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{shown}: output is not UTF-8"))
}

/// As `read`, but returns standard error, which is shown as it comes: cargo tells there what it does.
pub(crate) fn read_progress(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {shown}"))?;
    let mut told = String::new();
    for line in child.stderr.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
        let line = line.with_context(|| format!("{shown}: read its output"))?;
        crate::out::note(&line);
        told.push_str(&line);
        told.push('\n');
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(told)
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}
