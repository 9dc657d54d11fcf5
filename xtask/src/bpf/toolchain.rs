//! The pinned compiler and bpf-linker, and the one command line that makes reproducible objects.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::wrapper;
use crate::{out, run, tree};

/// bpf-linker reads rustc's bitcode, so its LLVM goes with the toolchain pinned in `agent-ebpf/rust-toolchain.toml`.
const LINKER_VERSION: &str = "0.13.0";
const LLVM: &str = "22";

/// What a build needs, found on this machine.
#[derive(Debug)]
pub(super) struct Tools {
    channel: String,
    linker: PathBuf,
    sysroot: PathBuf,
    cargo_home: PathBuf,
}

/// Finds the tools, or says how to get them; with `install` gets them.
pub(super) fn find(install: bool) -> Result<Tools> {
    let pinned = pinned()?;
    let (channel, sysroot) = match toolchain(&pinned) {
        Some(found) => found,
        None if install => {
            out::step(&format!("rustup toolchain install {pinned}"));
            run::check(run::clean("rustup").args([
                "toolchain",
                "install",
                &pinned,
                "--profile",
                "minimal",
                "--component",
                "rust-src",
            ]))?;
            toolchain(&pinned).context("the toolchain was installed but rust-src is not there")?
        }
        None => bail!(
            "the pinned toolchain is not installed; get it with: rustup toolchain install {pinned} --profile minimal \
             --component rust-src (or add --install)"
        ),
    };
    let bin = tree::cache()?.join("bin");
    let linker = match tree::find_program("bpf-linker", std::slice::from_ref(&bin)) {
        Some(linker) => linker,
        None if install => {
            install_linker()?;
            bin.join("bpf-linker")
        }
        None => bail!(
            "bpf-linker {LINKER_VERSION} is on neither PATH nor {}; get it with: cargo xtask bpf --install (or: apt-get \
             install llvm-{LLVM}-dev libpolly-{LLVM}-dev libzstd-dev; LLVM_PREFIX=/usr/lib/llvm-{LLVM} cargo install \
             bpf-linker@{LINKER_VERSION} --no-default-features --features llvm-{LLVM})",
            bin.display()
        ),
    };
    let cargo_home = match std::env::var_os("CARGO_HOME") {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cargo"),
    };
    Ok(Tools { channel, linker, sysroot, cargo_home })
}

fn pinned() -> Result<String> {
    let path = tree::root().join("agent-ebpf/rust-toolchain.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    text.lines()
        .find_map(|line| line.strip_prefix("channel = \"")?.strip_suffix('"'))
        .map(str::to_owned)
        .context("agent-ebpf/rust-toolchain.toml names no channel")
}

/// The channel and root of an installed toolchain that is the pinned version, by that name or as `stable`, with the
/// sources of `core`.
fn toolchain(pinned: &str) -> Option<(String, PathBuf)> {
    [pinned, "stable"].into_iter().find_map(|channel| {
        let rustc = |args: &[&str]| {
            let mut rustup = run::clean("rustup");
            run::read(rustup.env("RUSTUP_AUTO_INSTALL", "0").args(["run", channel, "rustc"]).args(args)).ok()
        };
        if rustc(&["--version"])?.split(' ').nth(1) != Some(pinned) {
            return None;
        }
        let sysroot = PathBuf::from(rustc(&["--print", "sysroot"])?.trim());
        sysroot.join("lib/rustlib/src/rust/library/core").is_dir().then(|| (channel.to_owned(), sysroot))
    })
}

/// As root, whoever asks.
fn apt_get() -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new("apt-get");
    }
    let mut sudo = Command::new("sudo");
    sudo.arg("apt-get");
    sudo
}

fn install_linker() -> Result<()> {
    let packages = [format!("llvm-{LLVM}-dev"), format!("libpolly-{LLVM}-dev"), "libzstd-dev".to_owned()];
    let prefix = format!("/usr/lib/llvm-{LLVM}");
    if !PathBuf::from(&prefix).join("bin/llvm-config").is_file() {
        out::step(&format!("apt-get install {}", packages.join(" ")));
        // on a fresh machine there are no lists yet
        run::check(apt_get().args(["update", "-qq"]))?;
        run::check(apt_get().args(["install", "-y", "--no-install-recommends"]).args(&packages))?;
    }
    out::step(&format!("cargo install bpf-linker@{LINKER_VERSION} (about a minute)"));
    run::check(
        run::clean("cargo")
            .args(["install", "--locked", "--no-default-features", "--features", &format!("llvm-{LLVM}")])
            .arg(format!("bpf-linker@{LINKER_VERSION}"))
            .arg("--root")
            .arg(tree::cache()?)
            .env("LLVM_PREFIX", prefix),
    )
}

/// Builds `programs` for `arch` and returns each object's bytes.
pub(super) fn build(tools: &Tools, arch: &str, programs: &[String]) -> Result<Vec<(String, Vec<u8>)>> {
    let target_dir = tree::target().join("bpf").join(arch);
    let target = "bpfel-unknown-none";
    let mut cargo = run::reproducible("rustup");
    cargo
        .current_dir(tree::root().join("agent-ebpf"))
        .args(["run", &tools.channel, "cargo", "build", "--locked", "--release", "--target", target])
        .args(["-Z", "build-std=core"])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", &target_dir)
        .env("RUSTC_WRAPPER", run::this_program())
        .env(wrapper::MARK, "1")
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags(tools, arch, &target_dir).join("\x1f"));
    for program in programs {
        cargo.args(["--bin", program]);
    }
    run::check(&mut cargo)?;
    let mut built = Vec::new();
    for program in programs {
        let path = target_dir.join(target).join("release").join(program);
        let slim = path.with_extension("o");
        strip(tools, &path, &slim)?;
        built.push((program.clone(), fs::read(&slim).with_context(|| format!("read {}", slim.display()))?));
    }
    Ok(built)
}

/// Drops DWARF, of which BTF was made; the kernel and aya read only BTF and symbols.
fn strip(tools: &Tools, from: &Path, to: &Path) -> Result<()> {
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let objcopy = tools.sysroot.join("lib/rustlib").join(host).join("bin/rust-objcopy");
    run::check(
        Command::new(objcopy)
            .env("LD_LIBRARY_PATH", tools.sysroot.join("lib"))
            .arg("--strip-debug")
            .args([from, to]),
    )
}

fn rust_flags(tools: &Tools, arch: &str, target_dir: &Path) -> Vec<String> {
    let mut flags = vec![
        "-Cdebuginfo=2".to_owned(),
        format!("-Clinker={}", tools.linker.display()),
        "-Clink-arg=--btf".to_owned(),
        format!("--cfg=bpf_target_arch=\"{arch}\""),
    ];
    // where several match, the last given wins: the general before the special
    let mut remaps = vec![
        (tools.cargo_home.clone(), "/cargo"),
        (tree::root().to_owned(), "/source/wake"),
        (target_dir.to_owned(), "/target"),
        (tools.sysroot.join("lib/rustlib/src/rust"), "/rust"),
        (tools.sysroot.clone(), "/toolchain"),
    ];
    let registry = tools.cargo_home.join("registry/src");
    for entry in fs::read_dir(registry).into_iter().flatten().flatten() {
        remaps.push((entry.path(), "/cargo/registry"));
    }
    for (from, to) in remaps {
        flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    }
    flags
}

/// A path of this machine in an object would differ elsewhere, and tells what is nobody's business.
pub(super) fn refuse_machine_paths(name: &str, bytes: &[u8], tools: &Tools) -> Result<()> {
    for dir in [tree::root(), &tools.sysroot, &tools.cargo_home, &tree::target()] {
        let needle = dir.as_os_str().as_encoded_bytes();
        if bytes.windows(needle.len()).any(|window| window == needle) {
            bail!("{name}.o holds a path of this machine ({})", dir.display());
        }
    }
    Ok(())
}
