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

use anyhow::{Context as _, Result};

use self::archive::Image;
use self::layer::Layer;
use crate::{out, run, tree};

pub(crate) use self::workload::{coredns, pause, tools};

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Whom the aggregator runs as: a number, so that `runAsNonRoot` can see that it is not root.
const USER: u32 = 65532;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Cargo profile to build with; `release` is slower to build and faster to run.
    #[arg(long, default_value = "up")]
    profile: String,
    /// What the images' names begin with.
    #[arg(long, default_value = "localhost")]
    registry: String,
    /// The images' tag.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
    /// Where the archives go [default: image in the target directory].
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// The two archives.
#[derive(Debug)]
pub(crate) struct Wake {
    pub(crate) agent: PathBuf,
    pub(crate) aggregator: PathBuf,
    /// The static `wake`, as it is in both images.
    pub(crate) cli: PathBuf,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    let to = args.to.clone().unwrap_or_else(directory);
    let made = wake(&args.profile, &args.registry, &args.tag, &to)?;
    out::note(&format!("docker load -i {}", made.agent.display()));
    out::note(&format!("docker load -i {}", made.aggregator.display()));
    Ok(())
}

/// Where archives go that nobody asked for elsewhere.
pub(crate) fn directory() -> PathBuf {
    tree::target().join("image")
}

/// Builds both programs and their images.
pub(crate) fn wake(profile: &str, registry: &str, tag: &str, to: &Path) -> Result<Wake> {
    out::step(&format!("building static programs (profile {profile})"));
    let bin = build(profile)?;
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    let image = |program: &str, user: u32| -> Result<PathBuf> {
        let mut layer = Layer::default();
        layer.file(&format!("usr/bin/{program}"), &bin.join(program), 0o755);
        // `kubectl exec` finds it: the same questions, and `wake doctor` where the program itself runs
        layer.file("usr/bin/wake", &bin.join("wake"), 0o755);
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
    Ok(Wake { agent, aggregator, cli: bin.join("wake") })
}

/// Where the static programs lie.
fn build(profile: &str) -> Result<PathBuf> {
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
    let dir = if profile == "dev" { "debug" } else { profile };
    Ok(tree::target().join(TARGET).join(dir))
}
