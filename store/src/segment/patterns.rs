//! `patterns.parquet`: how many lines of each pattern a segment has, by stream and minute, with one line as an example.
//!
//! Gathered while bodies are written, summed up when segments are merged, and never needed to read a line: what cannot be
//! read here is counted from the bodies. Lines of patterns beyond [`MOST`] are counted together, without a template.

mod file;

use std::collections::{BTreeMap, HashMap};

use crate::rows::Texts;

const MINUTE_NS: i64 = 60_000_000_000;
/// Different patterns of one segment.
const MOST: usize = 4_096;
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
    /// By the minute's start.
    pub(crate) minutes: BTreeMap<i64, Lines>,
}

/// Patterns of streams; the template is empty where it is of those that are only counted.
#[derive(Debug, Default)]
pub(crate) struct PatternCounts {
    streams: BTreeMap<(String, String), HashMap<Vec<u8>, Counted>>,
    patterns: usize,
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
        times: &[i64],
        bodies: &Texts,
    ) {
        // rows come by time: each template's minute is mostly the one of its line before
        let mut last: Vec<Option<(i64, Lines)>> = vec![None; templates.len()];
        let mut first: Vec<usize> = vec![usize::MAX; templates.len()];
        let mut settled: Vec<(usize, i64, Lines)> = Vec::new();
        for (row, (template, ts)) in of.iter().zip(times).enumerate() {
            let template = *template as usize;
            let Some(slot) = last.get_mut(template) else { continue };
            let minute = minute_of(*ts);
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
        minute: i64,
        lines: Lines,
        example: impl FnOnce() -> &'a [u8],
    ) {
        let stream = (namespace.to_owned(), workload.to_owned());
        let stream = self.streams.entry(stream).or_default();
        let counted = match stream.get_mut(template) {
            Some(counted) => counted,
            None if self.patterns >= MOST || template.is_empty() => stream.entry(Vec::new()).or_default(),
            None => {
                self.patterns += 1;
                let example = example();
                let example = example[..example.len().min(EXAMPLE)].to_vec();
                stream.entry(template.to_vec()).or_insert(Counted { example, minutes: BTreeMap::new() })
            }
        };
        counted.minutes.entry(minute).and_modify(|known| known.add(lines)).or_insert(lines);
    }

    /// Adds what another segment has.
    pub(crate) fn merge(&mut self, other: &Self) {
        for ((namespace, workload), template, counted) in other.iter() {
            for (minute, lines) in &counted.minutes {
                self.add((namespace, workload), template, *minute, *lines, || &counted.example);
            }
        }
    }

    /// Each pattern of each stream: stream, template, lines.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&(String, String), &[u8], &Counted)> {
        self.streams.iter().flat_map(|(stream, patterns)| {
            patterns.iter().map(move |(template, counted)| (stream, template.as_slice(), counted))
        })
    }

    /// Memory, bytes, roughly.
    pub(crate) fn memory(&self) -> usize {
        let one = |(_, template, counted): (_, &[u8], &Counted)| {
            160 + template.len() + counted.example.len() + counted.minutes.len() * 48
        };
        self.iter().map(one).sum()
    }
}
