//! `cargo xtask bpf`: the committed eBPF objects, rebuilt with the toolchain that they are pinned to.
//!
//! In: `agent-ebpf` (a workspace of its own) and `agent-common`. Out: `agent/ebpf-objects/<arch>/<bin>.o` and, in
//! `SOURCES.sha256` beside them, for each object a hash of its sources, so that `tidy` sees drift without building.
//! Invariant: the same sources give the same bytes in any checkout on any machine, and hold no path of it.

mod sources;
mod toolchain;
mod wrapper;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::{out, tree};
pub(crate) use sources::stale;
pub(crate) use wrapper::run_if_called as rustc_if_called;

/// Architectures whose objects are committed.
const ARCHES: [&str; 1] = ["x86_64"];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Build only these programs (default: every one).
    programs: Vec<String>,
    /// Change nothing: rebuild and compare byte for byte with what is committed.
    #[arg(long)]
    check: bool,
    /// Install what is missing: the pinned toolchain, LLVM's development packages, bpf-linker.
    #[arg(long)]
    install: bool,
}

impl Args {
    /// As in `cargo xtask bpf --check --install`.
    pub(crate) const CHECK: Self = Self { programs: Vec::new(), check: true, install: true };
}

/// Whether these objects and sources are others than those that `--check` last found right on this machine.
pub(crate) fn unverified() -> Result<bool> {
    let verified = fs::read_to_string(verified_file()?).unwrap_or_default();
    Ok(verified != sources::state()?)
}

/// Remembers that what is committed now is what its sources give.
fn remember_verified() -> Result<()> {
    let path = verified_file()?;
    fs::create_dir_all(path.parent().context("the cache is a directory")?)?;
    fs::write(&path, sources::state()?).with_context(|| format!("write {}", path.display()))
}

fn verified_file() -> Result<PathBuf> {
    Ok(tree::cache()?.join("bpf-verified"))
}

pub(crate) fn main(args: &Args) -> Result<()> {
    let tools = toolchain::find(args.install)?;
    let known = sources::programs()?;
    let programs = if args.programs.is_empty() { known.clone() } else { args.programs.clone() };
    if let Some(unknown) = programs.iter().find(|name| !known.contains(name)) {
        bail!("no program {unknown:?} in agent-ebpf/src/bin; there are: {}", known.join(", "));
    }
    let mut differing = Vec::new();
    for arch in ARCHES {
        out::step(&format!("eBPF objects for {arch}: {}", programs.join(", ")));
        let built = toolchain::build(&tools, arch, &programs)?;
        for (name, bytes) in built {
            toolchain::refuse_machine_paths(&name, &bytes, &tools)?;
            let path = object(arch, &name);
            let committed = fs::read(&path).ok();
            if committed.as_deref() == Some(&bytes) {
                out::note(&format!("{}: unchanged, {} bytes", tree::relative(&path), bytes.len()));
            } else if args.check {
                differing.push(tree::relative(&path));
            } else {
                fs::create_dir_all(path.parent().context("an object lies in a directory")?)?;
                fs::write(&path, &bytes).with_context(|| format!("write {}", path.display()))?;
                out::note(&format!("{}: written, {} bytes", tree::relative(&path), bytes.len()));
            }
        }
    }
    if args.check {
        differing.extend(stale()?);
        if !differing.is_empty() {
            bail!("not what their sources give: {}; mend with: cargo xtask bpf", differing.join(", "));
        }
        out::note("every object is what its sources give, byte for byte");
        if programs == known {
            remember_verified()?;
        }
        return Ok(());
    }
    sources::record(&programs)
}

fn object(arch: &str, name: &str) -> PathBuf {
    objects().join(arch).join(format!("{name}.o"))
}

fn objects() -> PathBuf {
    tree::root().join("agent/ebpf-objects")
}
