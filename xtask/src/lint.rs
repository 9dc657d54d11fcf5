//! `cargo xtask lint`: format, clippy with warnings denied, and what may be depended upon.

use anyhow::{Result, bail};

use crate::{out, run, tree};

pub(crate) fn main() -> Result<()> {
    out::step("cargo fmt --check");
    run::check(cargo().args(["fmt", "--all", "--check"]))?;
    // workspaces of their own
    for dir in ["agent-ebpf", "fuzz"] {
        let mut fmt = run::clean("cargo");
        fmt.current_dir(tree::root().join(dir)).env("RUSTUP_TOOLCHAIN", "stable").args(["fmt", "--check"]);
        run::check(&mut fmt)?;
    }
    out::step("cargo clippy --workspace --all-targets -- -D warnings");
    run::check(cargo().args(["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    deny()
}

/// Licences, sources and duplicate versions; no advisories, whose database is out of reach.
fn deny() -> Result<()> {
    out::step("cargo deny check bans licenses sources");
    let Some(deny) = tree::find_program("cargo-deny", &[tree::cache()?.join("bin")]) else {
        bail!("cargo-deny is not installed; get it with: cargo install cargo-deny --locked");
    };
    let mut deny = run::clean(&deny.to_string_lossy());
    run::check(deny.current_dir(tree::root()).args([
        "--log-level",
        "error",
        "check",
        "bans",
        "licenses",
        "sources",
    ]))
}

fn cargo() -> std::process::Command {
    let mut cargo = run::clean("cargo");
    cargo.current_dir(tree::root());
    cargo
}
