//! Every fuzz target stands in its manifest and has a corpus; the crates' own tests replay what lies there.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result};

use super::Finding;
use crate::{fuzz, tree};

pub(super) fn check() -> Result<Vec<Finding>> {
    let manifest = fuzz::known()?;
    let manifest: BTreeSet<String> = manifest.into_iter().map(|target| target.name).collect();
    let mut findings = Vec::new();
    for dir in ["targets", "corpus"] {
        let found = names(dir)?;
        for name in manifest.symmetric_difference(&found) {
            findings.push(Finding::Fail(format!(
                "fuzz/{dir} and fuzz/Cargo.toml do not agree about {name}: a target has a [[bin]], a file in targets and a \
                 corpus"
            )));
        }
    }
    Ok(findings)
}

fn names(dir: &str) -> Result<BTreeSet<String>> {
    let path = tree::root().join("fuzz").join(dir);
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(&path).with_context(|| format!("read {}", path.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.insert(name.trim_end_matches(".rs").to_owned());
    }
    Ok(names)
}
