//! Which crate may use which: the edges that `docs/architecture.md` draws, and no other.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::Finding;
use crate::{run, tree};

/// Crate, and the crates of this workspace that it may use.
const MAY_USE: [(&str, &[&str]); 11] = [
    ("agent", &["agent-common", "proto", "daemon"]),
    ("agent-common", &[]),
    ("agent-ebpf", &["agent-common"]),
    ("aggregator", &["store", "effects", "proto", "daemon"]),
    ("cli", &["proto", "effects"]),
    ("daemon", &[]),
    ("effects", &[]),
    ("proto", &[]),
    ("proto-codegen", &[]),
    ("store", &["proto"]),
    ("xtask", &[]),
];

/// May use every crate; nothing may use them.
const ENDS: [&str; 4] = ["bench", "cluster-tests", "e2e", "kernel-tests"];

/// Crates of others that would carry a concern across a wall.
const MAY_NOT_DEPEND_ON: [(&str, &[&str], &str); 3] = [
    (
        "store",
        &["axum", "tonic", "hyper", "reqwest", "kube", "prometheus-client"],
        "the store knows nothing of HTTP",
    ),
    ("effects", &["tokio", "axum", "tonic", "arrow", "parquet"], "effects is pure"),
    ("agent", &["datafusion", "parquet", "arrow"], "the agent runs on every node and stays small"),
];

/// Inside a crate: a module, and the sibling modules that it may not name.
const MODULES_APART: [(&str, &str, &[&str]); 5] = [
    ("aggregator/src", "ingest", &["query", "api"]),
    ("aggregator/src", "query", &["api", "ingest"]),
    ("agent/src", "decode", &["probe", "identity", "export", "logs"]),
    ("agent/src", "probe", &["identity", "export", "logs"]),
    ("agent/src", "logs", &["probe", "decode", "export"]),
];

pub(super) fn check(files: &[PathBuf]) -> Result<Vec<Finding>> {
    let mut findings = edges(&workspace_tree()?);
    findings.extend(ebpf()?);
    findings.extend(modules(files)?);
    Ok(findings)
}

/// `cargo tree`, one level deep: a line per crate, `0name` for members and `1name` for what they use.
fn workspace_tree() -> Result<String> {
    let mut cargo = run::clean("cargo");
    cargo.current_dir(tree::root()).args(["tree", "--workspace", "--locked", "--depth", "1"]);
    run::read(cargo.args(["-e", "normal,build,dev", "--prefix", "depth", "--format", "{p}"]))
}

fn edges(listing: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let ours: Vec<&str> = listing.lines().filter_map(|line| line.strip_prefix('0')).map(name).collect();
    let mut user = "";
    for line in listing.lines() {
        if let Some(member) = line.strip_prefix('0') {
            user = name(member);
            continue;
        }
        let Some(used) = line.strip_prefix('1').map(name) else { continue };
        findings.extend(edge(user, used, &ours).map(Finding::Fail));
    }
    findings
}

fn name(package: &str) -> &str {
    package.split(' ').next().unwrap_or(package)
}

fn edge(user: &str, used: &str, ours: &[&str]) -> Option<String> {
    let walls = MAY_NOT_DEPEND_ON.iter().find(|(from, banned, _)| *from == user && banned.contains(&used));
    if let Some((_, _, reason)) = walls {
        return Some(format!("{user} depends on {used}: {reason}"));
    }
    if !ours.contains(&used) || ENDS.contains(&user) && !ENDS.contains(&used) {
        return None;
    }
    let allowed = MAY_USE.iter().find(|(from, _)| *from == user).map(|(_, to)| *to);
    match allowed {
        Some(to) if to.contains(&used) => None,
        Some(_) => Some(format!("{user} uses {used}: docs/architecture.md draws no such edge")),
        None => Some(format!("{user} is not in tidy's list of crates (and uses {used})")),
    }
}

/// `agent-ebpf` is a workspace of its own: its path dependencies stand in its manifest.
fn ebpf() -> Result<Vec<Finding>> {
    let path = tree::root().join("agent-ebpf/Cargo.toml");
    let text = fs::read_to_string(&path).context("read agent-ebpf/Cargo.toml")?;
    let used =
        text.lines().filter(|line| line.contains("path = \"../")).filter_map(|line| line.split(' ').next());
    Ok(used
        .filter(|used| *used != "agent-common")
        .map(|used| {
            Finding::Fail(format!("agent-ebpf uses {used}: only agent-common is shared with the kernel"))
        })
        .collect())
}

fn modules(files: &[PathBuf]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (dir, module, apart) in MODULES_APART {
        let own = [PathBuf::from(dir).join(format!("{module}.rs")), PathBuf::from(dir).join(module)];
        for file in files.iter().filter(|file| own.iter().any(|own| file.starts_with(own))) {
            if file.ends_with("tests.rs") {
                continue;
            }
            let text = fs::read_to_string(tree::root().join(file))
                .with_context(|| format!("read {}", file.display()))?;
            for other in apart.iter().filter(|other| names_module(&text, other)) {
                findings.push(Finding::Fail(format!("{}: {module} names crate::{other}", file.display())));
            }
        }
    }
    Ok(findings)
}

fn names_module(text: &str, module: &str) -> bool {
    let needle = format!("crate::{module}");
    text.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
        line.match_indices(&needle).any(|(at, _)| {
            let next = line[at + needle.len()..].chars().next();
            !next.is_some_and(|next| next.is_alphanumeric() || next == '_')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{edge, edges, names_module};

    #[test]
    fn an_edge_that_is_not_drawn_is_refused() {
        let ours = ["agent", "store", "daemon", "e2e"];
        assert!(edge("agent", "daemon", &ours).is_none());
        assert!(edge("agent", "store", &ours).is_some());
        assert!(edge("e2e", "agent", &ours).is_none());
        assert!(edge("agent", "e2e", &ours).is_some());
        assert!(edge("agent", "serde", &ours).is_none());
        assert!(edge("store", "axum", &ours).is_some());
    }

    #[test]
    fn the_listing_of_cargo_tree_is_understood() {
        let listing = "0store v0.1.0 (x)\n1proto v0.1.0 (x)\n1daemon v0.1.0 (x)\n\n0proto v0.1.0 (x)\n0daemon v0.1.0 (x)\n";
        assert_eq!(edges(listing).len(), 1);
    }

    #[test]
    fn a_module_is_named_whole() {
        assert!(names_module("use crate::api::Dto;", "api"));
        assert!(!names_module("use crate::apium;", "api"));
        assert!(!names_module("// use crate::api;", "api"));
    }
}
