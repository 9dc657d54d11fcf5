//! The addresses of this host and of the network namespaces on it, so that a peer on the same host can be told.
//!
//! From `/proc/<pid>/net/fib_trie` and `if_inet6`, one process per namespace. Re-read once a minute: a namespace that is
//! younger is not known yet, and its peers stay unnamed until then.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// How long what was read holds.
const FRESH: Duration = Duration::from_secs(60);
/// Most network namespaces that are looked into.
const MOST_NAMESPACES: usize = 1_024;
/// A host with a whole Internet routing table has a trie of many megabytes: its own addresses may then be missing.
const MOST_BYTES: u64 = 4 << 20;

/// The addresses, and when they were read.
#[derive(Debug)]
pub struct Addresses {
    proc: PathBuf,
    known: BTreeSet<IpAddr>,
    read_at: Option<Duration>,
}

impl Addresses {
    /// Reads nothing yet.
    pub fn new(proc: PathBuf) -> Self {
        Self { proc, known: BTreeSet::new(), read_at: None }
    }

    /// Every address of this host but loopback ones; read again if they are old. `now` is monotonic.
    pub fn get(&mut self, now: Duration) -> &BTreeSet<IpAddr> {
        if self.read_at.is_none_or(|at| now.saturating_sub(at) >= FRESH) {
            self.read_at = Some(now);
            self.known = read(&self.proc);
        }
        &self.known
    }
}

fn read(proc: &Path) -> BTreeSet<IpAddr> {
    let mut namespaces = HashSet::new();
    let mut found = BTreeSet::new();
    let Ok(processes) = fs::read_dir(proc) else { return found };
    for process in processes.flatten() {
        if !process.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        let process = process.path();
        let Ok(namespace) = fs::metadata(process.join("ns/net")) else { continue };
        if !namespaces.insert(namespace.ino()) {
            continue;
        }
        found.extend(v4(&text(&process.join("net/fib_trie"))).map(IpAddr::V4));
        found.extend(v6(&text(&process.join("net/if_inet6"))).map(IpAddr::V6));
        if namespaces.len() >= MOST_NAMESPACES {
            break;
        }
    }
    found.retain(|address| !address.is_loopback() && !address.is_unspecified());
    found
}

fn text(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

/// `|-- 10.0.0.2`, then `/32 host LOCAL`.
fn v4(trie: &str) -> impl Iterator<Item = Ipv4Addr> {
    let mut last = None;
    trie.lines().filter_map(move |line| {
        let line = line.trim_start();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.trim().parse().ok();
            return None;
        }
        if line.starts_with("/32 host LOCAL") { last.take() } else { None }
    })
}

/// `fe80...0001 02 40 20 80 eth0`: 32 hex digits first.
fn v6(interfaces: &str) -> impl Iterator<Item = Ipv6Addr> {
    interfaces.lines().filter_map(|line| {
        let digits = line.split_whitespace().next().filter(|digits| digits.len() == 32)?;
        u128::from_str_radix(digits, 16).ok().map(Ipv6Addr::from)
    })
}
