//! The store-wide registry of log patterns: of each workload's patterns since when and until when there were lines, in all
//! and by version, how many, the template and an example. It outlives the lines: retention takes segments, not what was seen.
//!
//! In: what each sealed segment has counted. Kept in the file `patterns` of the store, written whole after each seal of the
//! log, and caught up from the segments when the store is opened: it can be lost without losing a line, only the memory of
//! those that are gone. Bounded: beyond [`MOST`] patterns or [`MOST_BYTES`] those that were not seen for longest go.

mod file;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::Table;
use crate::search::pattern_id;
use crate::segment::PatternCounts;
use crate::state::Shared;

/// Patterns of all workloads.
const MOST: usize = 20_000;
/// Their templates and examples, bytes.
const MOST_BYTES: usize = 8 << 20;
/// Bytes of a template and of an example that are kept.
const TEXT: usize = 1_000;
/// Versions of a pattern: the first, and those seen last.
const MOST_VERSIONS: usize = 16;

/// A pattern of a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) namespace: String,
    pub(crate) workload: String,
    pub(crate) id: u64,
    pub(crate) first_ns: i64,
    pub(crate) last_ns: i64,
    pub(crate) lines: u64,
    /// The template as people read it, and one line.
    pub(crate) text: String,
    pub(crate) example: String,
    /// As far as lines were counted by version: releases before versions were told apart left this out, and do so again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) versions: Vec<SeenVersion>,
}

/// A version of the workload that had lines of the pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SeenVersion {
    pub(crate) version: String,
    pub(crate) first_ns: i64,
    pub(crate) last_ns: i64,
    pub(crate) lines: u64,
}

/// What was ever seen, as far as it is remembered.
#[derive(Debug)]
pub(crate) struct Registry {
    /// (namespace, workload) → id → pattern.
    by_stream: HashMap<(String, String), HashMap<u64, Seen>>,
    patterns: usize,
    bytes: usize,
    /// Segments with positions up to here are in it.
    through: i64,
    /// The file has more than could be read, such as what a newer release wrote: it stays as it is.
    is_unwritten: bool,
}

impl Default for Registry {
    fn default() -> Self {
        Self { by_stream: HashMap::new(), patterns: 0, bytes: 0, through: -1, is_unwritten: false }
    }
}

/// The registry of a store, shared by its snapshots.
#[derive(Debug, Default)]
pub(crate) struct SharedRegistry(Mutex<Registry>);

impl SharedRegistry {
    /// No change leaves it half done: a thread that panicked with it changes nothing.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    /// What is remembered of a pattern.
    pub(crate) fn seen(&self, namespace: &str, workload: &str, id: u64) -> Option<&Seen> {
        self.by_stream.get(&(namespace.to_owned(), workload.to_owned()))?.get(&id)
    }

    /// Every pattern.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Seen> {
        self.by_stream.values().flat_map(HashMap::values)
    }

    /// Takes in what a segment has counted.
    fn add(&mut self, counts: &PatternCounts) {
        for ((namespace, workload), template, counted) in
            counts.iter().filter(|(_, template, _)| !template.is_empty())
        {
            let minutes = counted.minutes.values();
            let (Some(first_ns), Some(last_ns)) = (
                minutes.clone().map(|lines| lines.first_ns).min(),
                minutes.clone().map(|lines| lines.last_ns).max(),
            ) else {
                continue;
            };
            let mut versions: BTreeMap<&str, SeenVersion> = BTreeMap::new();
            for ((_, version), lines) in &counted.minutes {
                let Some(version) = counts.versions.name(*version) else { continue };
                let fresh = || SeenVersion {
                    version: version.to_owned(),
                    first_ns: lines.first_ns,
                    last_ns: lines.last_ns,
                    lines: 0,
                };
                versions
                    .entry(version)
                    .or_insert_with(fresh)
                    .add((lines.first_ns, lines.last_ns), lines.lines);
            }
            let cut = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(TEXT)]).into_owned();
            self.put(Seen {
                namespace: namespace.clone(),
                workload: workload.clone(),
                id: pattern_id(template),
                first_ns,
                last_ns,
                lines: minutes.map(|lines| lines.lines).sum(),
                text: cut(crate::search::shown(template).as_bytes()),
                example: cut(&counted.example),
                versions: versions.into_values().collect(),
            });
        }
        self.forget();
    }

    fn put(&mut self, seen: Seen) {
        let stream = self.by_stream.entry((seen.namespace.clone(), seen.workload.clone())).or_default();
        match stream.get_mut(&seen.id) {
            Some(known) => {
                known.first_ns = known.first_ns.min(seen.first_ns);
                known.last_ns = known.last_ns.max(seen.last_ns);
                known.lines = known.lines.saturating_add(seen.lines);
                let before = known.bytes();
                seen.versions.into_iter().for_each(|version| known.put(version));
                known.keep_versions();
                self.bytes = self.bytes.saturating_sub(before) + known.bytes();
            }
            None => {
                let mut seen = seen;
                seen.keep_versions();
                self.patterns += 1;
                self.bytes += seen.bytes();
                stream.insert(seen.id, seen);
            }
        }
    }

    /// Keeps within the bounds: an eighth more goes than must, so that it is not done for every pattern.
    fn forget(&mut self) {
        if self.patterns <= MOST && self.bytes <= MOST_BYTES {
            return;
        }
        let mut all: Vec<Seen> =
            self.by_stream.drain().flat_map(|(_, stream)| stream.into_values()).collect();
        all.sort_unstable_by_key(|seen| std::cmp::Reverse((seen.last_ns, seen.id)));
        (self.patterns, self.bytes) = (0, 0);
        for seen in all {
            if self.patterns >= MOST / 8 * 7 || self.bytes >= MOST_BYTES / 8 * 7 {
                break;
            }
            self.put(seen);
        }
    }
}

/// What `crate::fuzz` calls.
pub(crate) fn fuzz(bytes: &[u8], is_json: bool) {
    file::fuzz(bytes, is_json);
}

impl Seen {
    fn bytes(&self) -> usize {
        let versions = self.versions.iter().map(|version| size_of::<SeenVersion>() + version.version.len());
        let texts = self.namespace.len() + self.workload.len() + self.text.len() + self.example.len();
        texts + versions.sum::<usize>() + size_of::<Self>()
    }

    fn put(&mut self, seen: SeenVersion) {
        match self.versions.iter_mut().find(|known| known.version == seen.version) {
            Some(known) => known.add((seen.first_ns, seen.last_ns), seen.lines),
            None => self.versions.push(seen),
        }
    }

    /// Keeps within the bound: the first version stays, of the others those that were seen last.
    fn keep_versions(&mut self) {
        if self.versions.len() > MOST_VERSIONS {
            self.versions.sort_unstable_by(|a, b| (a.first_ns, &a.version).cmp(&(b.first_ns, &b.version)));
            self.versions[1..].sort_unstable_by(|a, b| {
                (Reverse(a.last_ns), &a.version).cmp(&(Reverse(b.last_ns), &b.version))
            });
            self.versions.truncate(MOST_VERSIONS);
        }
    }
}

impl SeenVersion {
    fn add(&mut self, (first_ns, last_ns): (i64, i64), lines: u64) {
        self.first_ns = self.first_ns.min(first_ns);
        self.last_ns = self.last_ns.max(last_ns);
        self.lines = self.lines.saturating_add(lines);
    }
}

/// Reads the registry when the store is opened, and takes in what it lacks.
pub(crate) fn load(shared: &Shared) {
    match file::read(&shared.root) {
        Ok(Some(registry)) => *shared.registry.lock() = registry,
        Ok(None) => {}
        Err(error @ file::ReadError::Damaged(_)) => {
            let kept = file::set_aside(&shared.root);
            let kept = kept.unwrap_or_else(|error| format!("nowhere: {error}"));
            tracing::warn!(%error, kept, "the registry of log patterns begins anew from the segments");
        }
        Err(error) => {
            tracing::warn!(
                %error,
                "the file of log patterns stays as it is; until it can be read they are known from the segments alone"
            );
            shared.registry.lock().is_unwritten = true;
        }
    }
    catch_up(shared);
}

/// Takes in segments that were sealed since, and writes the registry. A failure costs nothing but memory of patterns whose
/// lines will be gone: the next seal tries again.
pub(crate) fn catch_up(shared: &Shared) {
    let through = shared.registry.lock().through;
    let mut fresh: Vec<_> = {
        let state = shared.state();
        let segments = state.segments[Table::Log.index()].iter();
        segments.filter(|segment| segment.last_lsn() > through).cloned().collect()
    };
    if fresh.is_empty() {
        return;
    }
    fresh.sort_by_key(|segment| segment.last_lsn());
    for segment in fresh {
        let counts = segment.open_patterns();
        let mut registry = shared.registry.lock();
        match counts {
            Ok(Some(counts)) => registry.add(&counts),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, segment = %segment.entry.id, "patterns cannot be read"),
        }
        registry.through = registry.through.max(segment.last_lsn());
    }
    let bytes = {
        let registry = shared.registry.lock();
        if registry.is_unwritten {
            return;
        }
        file::encode(&registry)
    };
    let written = bytes.and_then(|bytes| file::write(&*shared.disk, &shared.root, &bytes));
    if let Err(error) = written {
        tracing::debug!(%error, "the registry of log patterns was not written");
    }
}
