//! `xtask` standing in for rustc: gives this checkout's crates an identity that does not depend on where it lies.
//!
//! Cargo hashes the absolute path of a path dependency outside the workspace into `-C metadata`, and rustc that into
//! every symbol; `agent-common` is such a dependency of `agent-ebpf`. Here the crate's name takes the hash's place.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};

/// Set for cargo when it is to call this program instead of rustc.
pub(super) const MARK: &str = "WAKE_XTASK_IS_RUSTC";

/// Runs as rustc, if cargo called this program as such; returns only if not, or when rustc could not be started.
pub(crate) fn run_if_called() -> Result<()> {
    if env::var_os(MARK).is_none() {
        return Ok(());
    }
    let mut args = env::args_os().skip(1);
    let rustc = args.next().context("cargo passes rustc's path first")?;
    let args = stable(args.collect(), crate::tree::root().as_os_str());
    Err(Command::new(&rustc).args(args).exec()).with_context(|| format!("start {}", rustc.display()))
}

/// `args` with `-C metadata=<hash>` replaced by the crate's name, if cargo compiles a crate below `checkout`.
fn stable(mut args: Vec<OsString>, checkout: &OsStr) -> Vec<OsString> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    if !std::path::Path::new(&manifest).starts_with(checkout) {
        return args;
    }
    let name = args.windows(2).find(|pair| pair[0] == "--crate-name").map(|pair| pair[1].clone());
    for arg in &mut args {
        if let (Some(name), true) = (&name, arg.as_encoded_bytes().starts_with(b"metadata=")) {
            *arg = OsString::from("metadata=");
            arg.push(name);
        }
    }
    args
}
