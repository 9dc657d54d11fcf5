//! `cargo xtask tidy`: the house rules that no compiler checks.
//!
//! Each rule reads files and returns findings; a failure fails the verb, a warning does not.

mod files;
mod fuzz;
mod layers;
mod objects;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{bpf, codegen, out, run, tree};

/// One broken rule.
#[derive(Debug)]
enum Finding {
    Warn(String),
    Fail(String),
}

pub(crate) fn main() -> Result<()> {
    let files = tracked()?;
    let mut findings = layers::check(&files)?;
    findings.extend(files::check(&files)?);
    findings.extend(objects::check()?);
    findings.extend(fuzz::check()?);
    findings.extend(stale(&bpf::stale()?, "cargo xtask bpf"));
    findings.extend(stale(&codegen::stale()?, "cargo xtask codegen"));
    let mut failed = 0;
    for finding in &findings {
        match finding {
            Finding::Warn(text) => out::note(&format!("warning: {text}")),
            Finding::Fail(text) => {
                failed += 1;
                out::note(&format!("refused: {text}"));
            }
        }
    }
    if failed > 0 {
        bail!("tidy: {failed} findings");
    }
    out::note(&format!("tidy: {} files, {} warnings", files.len(), findings.len()));
    Ok(())
}

fn stale(names: &[String], mend: &str) -> Vec<Finding> {
    names
        .iter()
        .map(|name| Finding::Fail(format!("{name}: not made from its present sources; mend with: {mend}")))
        .collect()
}

/// Every file that is in git or would be, relative to the checkout.
fn tracked() -> Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    git.current_dir(tree::root()).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listing = run::read(&mut git)?;
    let mut files: Vec<PathBuf> = listing.split_terminator('\0').map(PathBuf::from).collect();
    files.retain(|file| tree::root().join(file).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}
