//! What an object is made of, as one hash per object.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{ARCHES, objects};
use crate::{out, sha256, tree};

/// The programs: one per file of `agent-ebpf/src/bin`.
pub(super) fn programs() -> Result<Vec<String>> {
    let dir = tree::root().join("agent-ebpf/src/bin");
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// Objects whose recorded hash is not that of their sources, and files that belong to no program.
pub(crate) fn stale() -> Result<Vec<String>> {
    let recorded = recorded()?;
    let programs = programs()?;
    let mut stale = Vec::new();
    for arch in ARCHES {
        for name in &programs {
            let key = format!("{arch}/{name}.o");
            if recorded.get(&key) != Some(&hash(name)?) || !objects().join(&key).is_file() {
                stale.push(format!("agent/ebpf-objects/{key}"));
            }
        }
    }
    for key in recorded.keys() {
        let name = key.rsplit('/').next().unwrap_or(key).trim_end_matches(".o");
        if !programs.iter().any(|program| program == name) {
            stale.push(format!("agent/ebpf-objects/{key}"));
        }
    }
    Ok(stale)
}

/// Writes the hashes for `built`; keeps those of other programs and forgets programs that are gone.
pub(super) fn record(built: &[String]) -> Result<()> {
    let mut lines = recorded().unwrap_or_default();
    let programs = programs()?;
    lines.retain(|key, _| programs.iter().any(|name| key.ends_with(&format!("/{name}.o"))));
    for arch in ARCHES {
        for name in built {
            lines.insert(format!("{arch}/{name}.o"), hash(name)?);
        }
    }
    let text: String = lines.iter().map(|(key, hash)| format!("{hash}  {key}\n")).collect();
    let path = list();
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    out::note(&format!("{} written", tree::relative(&path)));
    Ok(())
}

/// One hash over the committed objects and what they are made of.
pub(super) fn state() -> Result<String> {
    let mut listing = String::new();
    for arch in ARCHES {
        for name in programs()? {
            let object = fs::read(objects().join(arch).join(format!("{name}.o"))).unwrap_or_default();
            listing.push_str(&format!("{}  {}  {arch}/{name}.o\n", hash(&name)?, sha256::hex(&object)));
        }
    }
    Ok(sha256::hex(listing.as_bytes()))
}

fn recorded() -> Result<BTreeMap<String, String>> {
    let text = match fs::read_to_string(list()) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error).context("read agent/ebpf-objects/SOURCES.sha256"),
    };
    Ok(text
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(hash, key)| (key.to_owned(), hash.to_owned()))
        .collect())
}

fn list() -> PathBuf {
    objects().join("SOURCES.sha256")
}

/// The hash over all that object `name` is built from: every source but the other programs' own files.
fn hash(name: &str) -> Result<String> {
    let root = tree::root();
    let mut files = Vec::new();
    for file in ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml"] {
        files.push(root.join("agent-ebpf").join(file));
    }
    files.push(root.join("agent-common/Cargo.toml"));
    tree::walk(&root.join("agent-ebpf/src"), &mut files)?;
    tree::walk(&root.join("agent-common/src"), &mut files)?;
    let bins = root.join("agent-ebpf/src/bin");
    files.retain(|file| !file.starts_with(&bins) || belongs(file, &bins, name));
    files.sort();
    let mut listing = String::new();
    for file in files {
        let bytes = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        listing.push_str(&format!("{}  {}\n", sha256::hex(&bytes), tree::relative(&file)));
    }
    Ok(sha256::hex(listing.as_bytes()))
}

/// `bin/<name>.rs` and what lies under `bin/<name>/`.
fn belongs(file: &Path, bins: &Path, name: &str) -> bool {
    file == bins.join(format!("{name}.rs")) || file.starts_with(bins.join(name))
}
