//! What an image's one layer holds: paths, sorted, each with where its bytes come from.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::tar::Tar;

#[derive(Debug)]
enum Entry {
    Dir { mode: u32 },
    File { from: PathBuf, mode: u32 },
    Text(String),
    Link { to: String },
}

#[derive(Debug, Default)]
pub(crate) struct Layer {
    entries: BTreeMap<String, Entry>,
}

impl Layer {
    /// `path` has no leading slash; the directories above it are made.
    pub(super) fn file(&mut self, path: &str, from: &Path, mode: u32) {
        self.put(path, Entry::File { from: from.to_owned(), mode });
    }

    pub(super) fn text(&mut self, path: &str, text: &str) {
        self.put(path, Entry::Text(text.to_owned()));
    }

    pub(super) fn link(&mut self, path: &str, to: &str) {
        self.put(path, Entry::Link { to: to.to_owned() });
    }

    pub(super) fn dir(&mut self, path: &str, mode: u32) {
        self.put(path, Entry::Dir { mode });
    }

    /// A program of this machine, at its own path, with every library that it loads.
    pub(super) fn program(&mut self, path: &Path) -> Result<()> {
        let real = fs::canonicalize(path).with_context(|| format!("find {}", path.display()))?;
        self.file(&path.to_string_lossy()[1..], &real, 0o755);
        self.libraries(path)
    }

    /// Every library that a program loads.
    pub(super) fn libraries(&mut self, path: &Path) -> Result<()> {
        // fails for a static program, which needs none
        let listing = Command::new("ldd").arg(path).output().context("start ldd")?;
        let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
        for file in listing.split_whitespace().filter(|word| word.starts_with('/')) {
            let real = fs::canonicalize(file).with_context(|| format!("find {file}"))?;
            self.file(&file[1..], &real, 0o755);
        }
        Ok(())
    }

    fn put(&mut self, path: &str, entry: Entry) {
        for (at, _) in path.match_indices('/') {
            self.entries.entry(path[..at].to_owned()).or_insert(Entry::Dir { mode: 0o755 });
        }
        self.entries.insert(path.to_owned(), entry);
    }

    pub(super) fn write<W: Write>(&self, tar: &mut Tar<W>) -> Result<()> {
        for (path, entry) in &self.entries {
            match entry {
                Entry::Dir { mode } => tar.dir(path, *mode)?,
                Entry::Link { to } => tar.link(path, to)?,
                Entry::Text(text) => tar.file(path, 0o644, text.len() as u64, &mut text.as_bytes())?,
                Entry::File { from, mode } => {
                    let mut file = File::open(from).with_context(|| format!("open {}", from.display()))?;
                    let size = file.metadata().with_context(|| format!("look at {}", from.display()))?.len();
                    tar.file(path, *mode, size, &mut file)
                        .with_context(|| format!("pack {}", from.display()))?;
                }
            }
        }
        Ok(())
    }
}
