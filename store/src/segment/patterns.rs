//! `patterns.parquet`: how many lines of each pattern a segment has, by stream, version and minute, with one line as an
//! example.
//!
//! Gathered while bodies are written, summed up when segments are merged, and never needed to read a line: what cannot be
//! read here is counted from the bodies. Lines of patterns beyond [`MOST`] are counted together, without a template.

mod file;
mod versions;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::rows::Texts;

pub(crate) use versions::{Version, Versions};

const MINUTE_NS: i64 = 60_000_000_000;
/// Different patterns of one segment.
const MOST: usize = 4_096;
/// Minutes of all patterns and versions; beyond them versions are not told apart.
const MOST_MINUTES: usize = 500_000;
/// Bytes of an example that are kept.
const EXAMPLE: usize = 1_000;

/// The lines of a pattern in one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lines {
    pub(crate) lines: u64,
    pub(crate) first_ns: i64,
    pub(crate) last_ns: i64,
}

/// The lines of a pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) example: Vec<u8>,
    /// By the minute's start and the version.
    pub(crate) minutes: BTreeMap<(i64, Version), Lines>,
}

/// Patterns of streams; the template is empty where it is of those that are only counted.
#[derive(Debug, Default)]
pub(crate) struct PatternCounts {
    streams: BTreeMap<(String, String), Stream>,
    pub(crate) versions: Versions,
    patterns: usize,
    minutes: usize,
}

/// The patterns of a stream.
#[derive(Debug, Default)]
struct Stream {
    patterns: HashMap<Vec<u8>, Counted>,
    versions: BTreeSet<Version>,
}

impl Lines {
    pub(crate) fn one(ts: i64) -> Self {
        Self { lines: 1, first_ns: ts, last_ns: ts }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.lines = self.lines.saturating_add(other.lines);
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
    }
}

/// The start of a time's minute.
pub(crate) fn minute_of(ts: i64) -> i64 {
    ts.div_euclid(MINUTE_NS).saturating_mul(MINUTE_NS)
}

impl PatternCounts {
    /// Counts bodies of a stream: each has one of these templates, which `of` names.
    pub(crate) fn add_block(
        &mut self,
        stream: (&str, &str),
        templates: &Texts,
        of: &[u32],
        (times, versions): (&[i64], &[Version]),
        bodies: &Texts,
    ) {
        // rows come nearly by time: each template's minute is mostly the one of its line before
        let mut last: Vec<Option<((i64, Version), Lines)>> = vec![None; templates.len()];
        let mut first: Vec<usize> = vec![usize::MAX; templates.len()];
        let mut settled: Vec<(usize, (i64, Version), Lines)> = Vec::new();
        for (row, ((template, ts), version)) in of.iter().zip(times).zip(versions).enumerate() {
            let template = *template as usize;
            let Some(slot) = last.get_mut(template) else { continue };
            let minute = (minute_of(*ts), *version);
            match slot {
                Some((known, lines)) if *known == minute => lines.add(Lines::one(*ts)),
                _ => {
                    if let Some((minute, lines)) = slot.replace((minute, Lines::one(*ts))) {
                        settled.push((template, minute, lines));
                    }
                    first[template] = first[template].min(row);
                }
            }
        }
        let rest = last.into_iter().enumerate();
        settled.extend(
            rest.filter_map(|(template, last)| last.map(|(minute, lines)| (template, minute, lines))),
        );
        for (template, minute, lines) in settled {
            let example = || bodies.get(first[template]);
            self.add(stream, templates.get(template), minute, lines, example);
        }
    }

    /// Adds lines of one minute.
    fn add<'a>(
        &mut self,
        (namespace, workload): (&str, &str),
        template: &[u8],
        (minute, version): (i64, Version),
        lines: Lines,
        example: impl FnOnce() -> &'a [u8],
    ) {
        let stream = (namespace.to_owned(), workload.to_owned());
        let Stream { patterns, versions } = self.streams.entry(stream).or_default();
        let counted = match patterns.get_mut(template) {
            Some(counted) => counted,
            None if self.patterns >= MOST || template.is_empty() => patterns.entry(Vec::new()).or_default(),
            None => {
                self.patterns += 1;
                let example = example();
                let example = example[..example.len().min(EXAMPLE)].to_vec();
                patterns.entry(template.to_vec()).or_insert(Counted { example, minutes: BTreeMap::new() })
            }
        };
        let is_full = self.minutes >= MOST_MINUTES && !counted.minutes.contains_key(&(minute, version));
        let version = if is_full { Version::OTHER } else { version };
        versions.insert(version);
        let added = counted.minutes.len();
        counted.minutes.entry((minute, version)).and_modify(|known| known.add(lines)).or_insert(lines);
        self.minutes += counted.minutes.len() - added;
    }

    /// Adds what another segment has.
    pub(crate) fn merge(&mut self, other: &Self) {
        for ((namespace, workload), template, counted) in other.iter() {
            for ((minute, version), lines) in &counted.minutes {
                let version = other.versions.name(*version).map(|name| self.versions.place(name));
                let minute = (*minute, version.unwrap_or(Version::UNTOLD));
                self.add((namespace, workload), template, minute, *lines, || &counted.example);
            }
        }
    }

    /// Each pattern of each stream: stream, template, lines.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&(String, String), &[u8], &Counted)> {
        self.streams.iter().flat_map(|(stream, Stream { patterns, .. })| {
            patterns.iter().map(move |(template, counted)| (stream, template.as_slice(), counted))
        })
    }

    /// The version of all lines of a stream, if it is one.
    pub(crate) fn only_version(&self, namespace: &str, workload: &str) -> Option<Version> {
        let stream = self.streams.get(&(namespace.to_owned(), workload.to_owned()))?;
        let only = stream.versions.first().filter(|_| stream.versions.len() == 1)?;
        (*only != Version::OTHER).then_some(*only)
    }

    /// Whether some lines of these streams were counted without their version.
    pub(crate) fn is_untold(&self, wants: impl Fn(&str, &str) -> bool) -> bool {
        let mut streams = self.streams.iter();
        streams.any(|((namespace, workload), stream)| {
            let is_untold =
                [Version::UNTOLD, Version::OTHER].iter().any(|some| stream.versions.contains(some));
            is_untold && wants(namespace, workload)
        })
    }

    /// Memory, bytes, roughly.
    pub(crate) fn memory(&self) -> usize {
        let one = |(_, template, counted): (_, &[u8], &Counted)| {
            160 + template.len() + counted.example.len() + counted.minutes.len() * 56
        };
        self.iter().map(one).sum::<usize>() + self.versions.memory()
    }
}
