//! Rules about one file: its length, its module documentation, no path of the machine it was written on.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::Finding;
use crate::tree;

const WARN_LINES: usize = 300;
const MOST_LINES: usize = 500;

pub(super) fn check(files: &[PathBuf]) -> Result<Vec<Finding>> {
    let machine = machine_paths();
    let mut findings = Vec::new();
    for file in files {
        let path = tree::root().join(file);
        let bytes = fs::read(&path).with_context(|| format!("read {}", file.display()))?;
        if let Some(dir) = machine.iter().find(|dir| holds_path(&bytes, dir)) {
            findings.push(Finding::Fail(format!("{}: holds a path of this machine: {dir}", file.display())));
        }
        if bytes.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"<<<<<<< ")) {
            findings.push(Finding::Fail(format!("{}: holds both sides of a merge", file.display())));
        }
        if file.extension().is_some_and(|extension| extension == "rs") && !generated(file) {
            let text = String::from_utf8_lossy(&bytes);
            findings.extend(length(file, text.lines().count()));
            findings.extend(module_doc(file, &text));
        }
    }
    Ok(findings)
}

fn generated(file: &Path) -> bool {
    file.components().any(|part| part.as_os_str() == "generated")
}

fn is_test(file: &Path) -> bool {
    file.starts_with("tests")
        || file.components().any(|part| part.as_os_str() == "tests")
        || file.ends_with("tests.rs")
}

fn length(file: &Path, lines: usize) -> Option<Finding> {
    if is_test(file) || lines <= WARN_LINES {
        return None;
    }
    let text = format!("{}: {lines} lines; look for the second concept in it", file.display());
    Some(if lines > MOST_LINES { Finding::Fail(text) } else { Finding::Warn(text) })
}

/// `//!` comes before the first item; attributes and plain comments may stand above it.
fn module_doc(file: &Path, text: &str) -> Option<Finding> {
    if !file.starts_with("tests") && is_test(file) {
        return None; // the module that it tests says it
    }
    let first = text.lines().map(str::trim).find(|line| {
        let above =
            line.is_empty() || line.starts_with("#!") || (line.starts_with("//") && !line.starts_with("//!"));
        !above
    })?;
    if first.starts_with("//!") {
        return None;
    }
    Some(Finding::Fail(format!("{}: no `//!` says what this module is for", file.display())))
}

/// Directories whose names must not leave this machine: the checkout, what it lies in, the home directory.
fn machine_paths() -> Vec<String> {
    let root = tree::root();
    let mut dirs = vec![root.to_path_buf()];
    dirs.extend(root.parent().map(Path::to_path_buf));
    dirs.extend(std::env::var_os("HOME").map(PathBuf::from));
    dirs.iter().filter(|dir| **dir != Path::new("/")).map(|dir| format!("{}/", dir.display())).collect()
}

/// Whether `dir` occurs where a path can begin, so that `/proc/<pid>/root/` is not taken for a home.
fn holds_path(bytes: &[u8], dir: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"._-}>*$".contains(&byte);
    bytes
        .windows(dir.len())
        .enumerate()
        .any(|(at, window)| window == dir.as_bytes() && (at == 0 || !inside(bytes[at - 1])))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Finding, holds_path, length, module_doc};

    #[test]
    fn paths_count_only_where_they_begin() {
        assert!(holds_path(b"see /home/me/x", "/home/me/"));
        assert!(!holds_path(b"/proc/<pid>/home/me/x", "/home/me/"));
        assert!(!holds_path(b"/proc/{pid}/home/me/x", "/home/me/"));
    }

    #[test]
    fn long_files_are_refused_and_tests_are_not() {
        assert!(matches!(length(Path::new("a/src/x.rs"), 501), Some(Finding::Fail(_))));
        assert!(matches!(length(Path::new("a/src/x.rs"), 301), Some(Finding::Warn(_))));
        assert!(length(Path::new("a/src/x.rs"), 300).is_none());
        assert!(length(Path::new("a/src/x/tests.rs"), 900).is_none());
    }

    #[test]
    fn a_module_says_what_it_is_for() {
        let file = Path::new("x.rs");
        assert!(module_doc(file, "#![no_std]\n//! Role.\nfn f() {}").is_none());
        assert!(module_doc(file, "fn main() {}\n//! late").is_some());
        assert!(module_doc(file, "").is_none());
    }
}
