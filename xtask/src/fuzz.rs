//! `cargo xtask fuzz`: the targets in `fuzz/` for some seconds each, under libFuzzer.
//!
//! What a run finds new stays below the target directory; the corpus in `fuzz/corpus` changes by hand only. `cargo test`
//! replays that corpus, so this needs neither to run in CI nor on a machine without nightly.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::{out, run, tree};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only these (default: every one).
    targets: Vec<String>,
    /// How long each runs.
    #[arg(long, value_name = "N", default_value_t = 30)]
    seconds: u32,
    /// Name the targets and end.
    #[arg(long)]
    list: bool,
}

/// A target, and the crate that it exercises, which is the feature that it is built with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) name: String,
    feature: String,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    let known = known()?;
    if args.list {
        known.iter().for_each(|target| out::line(&target.name));
        return Ok(());
    }
    if let Some(unknown) = args.targets.iter().find(|name| known.iter().all(|target| target.name != **name)) {
        let names: Vec<&str> = known.iter().map(|target| target.name.as_str()).collect();
        bail!("no fuzz target {unknown:?}; there are: {}", names.join(", "));
    }
    let cargo_fuzz = find_tools()?;
    let mut failed = Vec::new();
    for target in known.iter().filter(|target| args.targets.is_empty() || args.targets.contains(&target.name))
    {
        out::step(&format!("fuzz {} for {} s", target.name, args.seconds));
        if let Err(error) = fuzz(&cargo_fuzz, target, args.seconds) {
            out::error(&format!("{error:#}"));
            failed.push(target.name.as_str());
        }
    }
    if !failed.is_empty() {
        bail!(
            "fuzz: {}; the inputs are in fuzz/artifacts: mend what they break, then keep them in fuzz/corpus/TARGET/",
            failed.join(", ")
        );
    }
    Ok(())
}

/// The targets that the manifest names.
pub(crate) fn known() -> Result<Vec<Target>> {
    let path = tree::root().join("fuzz/Cargo.toml");
    Ok(targets(&fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?))
}

fn find_tools() -> Result<std::path::PathBuf> {
    if run::read(run::clean("rustup").env("RUSTUP_AUTO_INSTALL", "0").args(["run", "nightly", "rustc", "-V"]))
        .is_err()
    {
        bail!(
            "libFuzzer needs a nightly toolchain; get it with: rustup toolchain install nightly --profile minimal"
        );
    }
    let Some(program) = tree::find_program("cargo-fuzz", &[tree::cache()?.join("bin")]) else {
        bail!("cargo-fuzz is not installed; get it with: cargo install cargo-fuzz --locked");
    };
    Ok(program)
}

fn fuzz(cargo_fuzz: &std::path::Path, target: &Target, seconds: u32) -> Result<()> {
    let Target { name, feature } = target;
    let found = tree::target().join("fuzz-found").join(name);
    fs::create_dir_all(&found).with_context(|| format!("make {}", found.display()))?;
    // cargo-fuzz asks the cargo of its environment, so that has to be nightly's
    let mut command = run::clean("rustup");
    command.current_dir(tree::root().join("fuzz")).args(["run", "nightly"]).arg(cargo_fuzz);
    command.args(["run", "--fuzz-dir", ".", "--no-default-features", "--features", feature, "--target-dir"]);
    command.arg(tree::target().join("fuzz")).arg(name);
    // the first directory takes what is new
    command.arg(found).arg(tree::root().join("fuzz/corpus").join(name)).arg("--");
    command.arg(format!("-max_total_time={seconds}"));
    command.args([
        "-max_len=65536",
        "-timeout=20",
        "-rss_limit_mb=4096",
        "-detect_leaks=0",
        "-print_final_stats=1",
    ]);
    run::check(&mut command)
}

/// Every `[[bin]]` of the manifest.
fn targets(manifest: &str) -> Vec<Target> {
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))?;
        Some(line.trim_matches(['"', '[', ']']).to_owned())
    };
    let blocks = manifest.split("[[bin]]\n").skip(1);
    blocks
        .filter_map(|block| {
            Some(Target { name: value(block, "name")?, feature: value(block, "required-features")? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Target, targets};

    #[test]
    fn the_manifest_names_the_targets() {
        let manifest =
            "[package]\nname = \"fuzz\"\n\n[[bin]]\nname = \"wal\"\nrequired-features = [\"store\"]\n";
        assert_eq!(targets(manifest), [Target { name: "wal".to_owned(), feature: "store".to_owned() }]);
    }
}
