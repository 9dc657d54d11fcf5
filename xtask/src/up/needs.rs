//! What a host must have, and the command that gets it.

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::{run, tree};

/// Rust that the workspace is written for.
const RUST: (u32, u32) = (1, 95);

/// With whose rights a program starts.
#[derive(Debug)]
pub(crate) enum Rights {
    /// Those of whoever calls.
    Own,
    /// Root's, through sudo.
    Sudo,
    /// No way to root was found.
    None {
        /// What a person can do about it.
        how: String,
    },
}

/// Names everything that is missing at once.
pub(super) fn check() -> Result<Rights> {
    let mut missing = Vec::new();
    if tree::find_program("cc", &[]).is_none() {
        missing.push("a C compiler, for zstd: apt-get install build-essential".to_owned());
    }
    match rust() {
        Some(version) if version >= RUST => {}
        Some((major, minor)) => missing.push(format!(
            "Rust {}.{} or newer (this is {major}.{minor}): rustup update stable",
            RUST.0, RUST.1
        )),
        None => missing.push(
            "a Rust compiler that answers `rustc --version`: rustup toolchain install stable".to_owned(),
        ),
    }
    if !Path::new("/sys/kernel/btf/vmlinux").is_file() {
        missing.push(
            "a kernel with BTF (/sys/kernel/btf/vmlinux): apt-get install linux-image-cloud-amd64, then boot it".to_owned(),
        );
    }
    if !missing.is_empty() {
        bail!("this host lacks:\n  - {}", missing.join("\n  - "));
    }
    Ok(rights())
}

fn rust() -> Option<(u32, u32)> {
    let text = run::read(Command::new("rustc").arg("--version")).ok()?;
    let mut parts = text.split(' ').nth(1)?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn rights() -> Rights {
    if rustix::process::geteuid().is_root() {
        return Rights::Own;
    }
    if tree::find_program("sudo", &[]).is_none() {
        return Rights::None { how: "there is no sudo; start it as root".to_owned() };
    }
    // without a password, or with a terminal on which sudo can ask for one
    let silent =
        Command::new("sudo").args(["-n", "true"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if silent.is_ok_and(|status| status.success()) || std::io::stdin().is_terminal() {
        return Rights::Sudo;
    }
    Rights::None {
        how: "sudo wants a password and there is no terminal to ask on; start it as root".to_owned(),
    }
}
