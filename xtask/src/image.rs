//! `cargo xtask image`: images of wake-agent and wake-aggregator, without a Docker daemon.
//!
//! Flow: static programs → one layer each → an OCI layout in a tar, which `docker load`, `ctr images import`,
//! `podman load` and `kind load image-archive` read. The same sources give the same bytes: no times, no owners, no
//! paths of the machine. Static against glibc, not musl: the allocator is the one that all measurements were made with,
//! no second C toolchain is needed, and since glibc 2.34 a static program resolves names through `files` and `dns`
//! without a shared library.

mod archive;
mod layer;
mod tar;
mod workload;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use self::archive::Image;
use self::layer::Layer;
use crate::{out, run, tree};

pub(crate) use self::workload::{coredns, pause, tools};

/// The profile of which no static build is made: to try a change in a cluster.
const DEV: &str = "dev";
/// As `dev`, of what `cargo build --workspace` made last: nothing is built.
const BUILT: &str = "built";
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Whom the aggregator runs as: a number, so that `runAsNonRoot` can see that it is not root.
const USER: u32 = 65532;

/// Where the programs come from.
#[derive(Debug, clap::Args)]
pub(crate) struct Programs {
    /// Cargo profile to build with; `release` is slower to build and faster to run, `dev` is not static, `built` packs what
    /// `cargo build --workspace` made last.
    #[arg(long, default_value = "up")]
    profile: String,
    /// Pack the programs in this directory instead of building them.
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
}

impl Programs {
    /// Those that lie in a directory.
    pub(crate) fn packed(dir: &Path) -> Self {
        Self { profile: DEV.to_owned(), bin_dir: Some(dir.to_owned()) }
    }

    /// Those that lie in the target directory.
    pub(crate) fn built() -> Self {
        Self { profile: BUILT.to_owned(), bin_dir: None }
    }

    /// Whether nothing is to be built for them.
    pub(crate) fn is_built(&self) -> bool {
        self.profile == BUILT
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    programs: Programs,
    /// What the images' names begin with.
    #[arg(long, default_value = "localhost")]
    registry: String,
    /// The images' tag.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
    /// Where the archives go [default: image in the target directory].
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// The image of the cluster tests' pods alone, of this machine's busybox and curl: for `cluster test --context`.
    #[arg(long)]
    tests: bool,
}

/// The two archives.
#[derive(Debug)]
pub(crate) struct Wake {
    pub(crate) agent: PathBuf,
    pub(crate) aggregator: PathBuf,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    let to = args.to.clone().unwrap_or_else(directory);
    if args.tests {
        fs::create_dir_all(&to).with_context(|| format!("create {}", to.display()))?;
        let made = tools(&args.registry, &to)?;
        out::note(&format!(
            "docker load -i {}; name it by --image {}/tools:1",
            made.display(),
            args.registry
        ));
        return Ok(());
    }
    let made = wake(&args.programs, &args.registry, &args.tag, &to)?;
    out::note(&format!("docker load -i {}", made.agent.display()));
    out::note(&format!("docker load -i {}", made.aggregator.display()));
    Ok(())
}

/// Where archives go that nobody asked for elsewhere.
pub(crate) fn directory() -> PathBuf {
    tree::target().join("image")
}

/// Builds both programs and their images.
pub(crate) fn wake(programs: &Programs, registry: &str, tag: &str, to: &Path) -> Result<Wake> {
    let bin = match (&programs.bin_dir, programs.profile.as_str()) {
        (Some(dir), _) => std::path::absolute(dir).context("find the programs")?,
        (None, DEV) => build_dev()?,
        (None, BUILT) => strip()?,
        (None, profile) => build(profile)?,
    };
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    let image = |program: &str, user: u32| -> Result<PathBuf> {
        let mut layer = Layer::default();
        // `kubectl exec` finds `wake`: the same questions, where the program itself runs
        for name in [program, "wake"] {
            layer.file(&format!("usr/bin/{name}"), &bin.join(name), 0o755);
            layer.libraries(&bin.join(name))?;
        }
        layer.text("etc/passwd", "root:x:0:0::/:/bin/false\nwake:x:65532:65532::/:/bin/false\n");
        layer.text("etc/group", "root:x:0:\nwake:x:65532:\n");
        layer.text("etc/nsswitch.conf", "hosts: files dns\n");
        let name = format!("{registry}/{program}:{tag}");
        let archive = to.join(format!("{program}.tar"));
        let image = Image { name: &name, user, entrypoint: &[&format!("/usr/bin/{program}")], layer: &layer };
        let bytes = archive::write(&image, &archive)?;
        out::note(&format!("{name}  {:.1} MiB", bytes as f64 / 1_048_576.0));
        Ok(archive)
    };
    let (agent, aggregator) = (image("wake-agent", 0)?, image("wake-aggregator", USER)?);
    Ok(Wake { agent, aggregator })
}

/// Debug builds as `cargo xtask test` makes them, without symbols: not static, quickly made.
fn build_dev() -> Result<PathBuf> {
    out::step("building the images' programs (profile dev)");
    let mut cargo = run::clean("cargo");
    cargo.current_dir(tree::root()).args([
        "build",
        "--locked",
        "-p",
        "aggregator",
        "-p",
        "agent",
        "-p",
        "cli",
    ]);
    run::check(&mut cargo)?;
    strip()
}

/// Copies of the debug builds without symbols.
fn strip() -> Result<PathBuf> {
    let stripped = tree::target().join("image-dev");
    fs::create_dir_all(&stripped).with_context(|| format!("create {}", stripped.display()))?;
    for name in ["wake-agent", "wake-aggregator", "wake"] {
        let from = tree::target().join("debug").join(name);
        run::check(Command::new("strip").arg("-o").arg(stripped.join(name)).arg(from))?;
    }
    Ok(stripped)
}

/// Where the static programs lie.
fn build(profile: &str) -> Result<PathBuf> {
    out::step(&format!("building static programs (profile {profile})"));
    let cargo_home = std::env::var("CARGO_HOME")
        .unwrap_or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")).unwrap_or_default());
    let flags = format!(
        "-C target-feature=+crt-static -C strip=symbols --remap-path-prefix={}=/wake --remap-path-prefix={cargo_home}=/cargo",
        tree::root().display()
    );
    let mut cargo = run::clean("cargo");
    cargo.current_dir(tree::root()).env("RUSTFLAGS", flags);
    cargo.args(["build", "--locked", "--target", TARGET, "--profile", profile]);
    run::check(cargo.args(["-p", "aggregator", "-p", "agent", "-p", "cli"]))?;
    Ok(tree::target().join(TARGET).join(profile))
}
