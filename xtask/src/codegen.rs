//! `cargo xtask codegen`: the committed Rust code of the .proto files, with no protoc.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::{out, run, sha256, tree};

pub(crate) fn main() -> Result<()> {
    out::step("Rust code of proto/wake/v1/*.proto");
    run::check(run::clean("cargo").current_dir(tree::root()).args([
        "run",
        "--quiet",
        "--locked",
        "-p",
        "proto-codegen",
    ]))?;
    let path = record();
    fs::write(&path, hash()?).with_context(|| format!("write {}", path.display()))?;
    out::note(&format!("{} written", tree::relative(&path)));
    Ok(())
}

/// The generated file, if what is recorded beside it is not the hash of the present sources.
pub(crate) fn stale() -> Result<Vec<String>> {
    let recorded = fs::read_to_string(record()).unwrap_or_default();
    Ok(if recorded == hash()? { Vec::new() } else { vec!["proto/src/generated/wake.v1.rs".to_owned()] })
}

fn record() -> PathBuf {
    tree::root().join("proto/src/generated/SOURCES.sha256")
}

/// One line per .proto file and one for the generator and its output, in the form of sha256sum.
fn hash() -> Result<String> {
    let root = tree::root();
    let mut files = vec![root.join("proto/codegen/src/main.rs"), root.join("proto/src/generated/wake.v1.rs")];
    tree::walk(&root.join("proto/wake"), &mut files)?;
    files.sort();
    let mut text = String::new();
    for file in files {
        let bytes = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        text.push_str(&format!("{}  {}\n", sha256::hex(&bytes), tree::relative(&file)));
    }
    Ok(text)
}
