//! Log patterns: which templates the lines of a range have, how many each, since when and until when.
//!
//! A pattern is the template of a body's first line; its id is the hash of the template and so the same in every
//! segment and store. Segments have counted their patterns by minute; where a range cuts a minute, blocks give their
//! templates without bodies; the rest is split here. Since when there is such a line at all, the registry knows.

use std::collections::HashMap;

use super::TABLE;
use crate::registry::Registry;
use crate::rows::{Chunk, Texts};
use crate::snapshot::{Snapshot, Stop};
use crate::template;
use crate::{ScanError, Scope};

/// More different patterns than this are only counted.
const MAX_PATTERNS: usize = 20_000;
/// Bytes of an example that are kept.
const EXAMPLE: usize = 1_000;

/// Whose patterns, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatternRequest {
    /// Lines at or after this time, ns.
    pub from_ns: i64,
    /// Lines before this time, ns.
    pub to_ns: i64,
    /// Only this namespace.
    pub namespace: Option<String>,
    /// Only this workload.
    pub workload: Option<String>,
    /// Whose lines; the view's own scope narrows it.
    pub scope: Scope,
}

/// A pattern of a workload's lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Hash of the template: the same wherever it occurs.
    pub id: u64,
    /// Whose lines.
    pub namespace: String,
    /// Whose lines.
    pub workload: String,
    /// The template, `<*>` for each slot.
    pub text: String,
    /// Lines in the range.
    pub lines: u64,
    /// The first of them, ns.
    pub first_ns: i64,
    /// The last of them, ns.
    pub last_ns: i64,
    /// The first that the store ever had of this pattern and workload, as far as its registry knows, ns.
    pub known_since_ns: i64,
    /// One of them, cut at 1,000 bytes.
    pub example: String,
}

/// Patterns, and what could not be looked at.
#[derive(Debug, Default)]
pub struct Patterns {
    /// The most frequent first.
    pub patterns: Vec<Pattern>,
    /// Lines of further patterns, beyond 20,000 different ones.
    pub dropped_lines: u64,
    /// Parts that could not be read.
    pub errors: Vec<ScanError>,
}

/// Counts as they come together.
#[derive(Debug, Default)]
pub(crate) struct Found {
    by_stream: HashMap<(String, String), HashMap<Vec<u8>, Counted>>,
    patterns: usize,
    dropped_lines: u64,
}

#[derive(Debug)]
struct Counted {
    lines: u64,
    first_ns: i64,
    last_ns: i64,
    example: Option<Vec<u8>>,
}

impl PatternRequest {
    pub(crate) fn wants(&self, namespace: &str, workload: &str) -> bool {
        self.scope.allows(namespace)
            && self.namespace.as_ref().is_none_or(|wanted| wanted == namespace)
            && self.workload.as_ref().is_none_or(|wanted| wanted == workload)
    }

    pub(crate) fn overlaps(&self, (oldest, newest): (i64, i64)) -> bool {
        newest >= self.from_ns && oldest < self.to_ns
    }
}

impl Found {
    /// Counts rows of a stream; returns those that are wanted as examples, ascending, with the template of each.
    pub(crate) fn count(
        &mut self,
        request: &PatternRequest,
        (namespace, workload): (&str, &str),
        templates: &[&[u8]],
        rows: impl Iterator<Item = (u32, i64)>,
    ) -> Vec<(usize, u32)> {
        let mut own: Vec<Option<(usize, Counted)>> = Vec::new();
        own.resize_with(templates.len(), || None);
        for (row, (template, ts)) in rows.enumerate() {
            if ts < request.from_ns || ts >= request.to_ns {
                continue;
            }
            let Some(slot) = own.get_mut(template as usize) else { continue };
            let fresh = || (row, Counted { lines: 0, first_ns: ts, last_ns: ts, example: None });
            let (_, counted) = slot.get_or_insert_with(fresh);
            counted.lines += 1;
            (counted.first_ns, counted.last_ns) = (counted.first_ns.min(ts), counted.last_ns.max(ts));
        }
        let mut wanted = Vec::new();
        let stream = self.by_stream.entry((namespace.to_owned(), workload.to_owned())).or_default();
        for (at, counted) in own.into_iter().enumerate() {
            let Some((row, counted)) = counted else { continue };
            if let Some(known) = stream.get_mut(templates[at]) {
                known.lines += counted.lines;
                known.first_ns = known.first_ns.min(counted.first_ns);
                known.last_ns = known.last_ns.max(counted.last_ns);
            } else if self.patterns < MAX_PATTERNS {
                self.patterns += 1;
                stream.insert(templates[at].to_vec(), counted);
                wanted.push((row, at as u32));
            } else {
                self.dropped_lines += counted.lines;
            }
        }
        wanted.sort_unstable();
        wanted
    }

    /// Adds lines that were counted before.
    pub(crate) fn add(
        &mut self,
        (namespace, workload): (&str, &str),
        template: &[u8],
        (lines, first_ns, last_ns): (u64, i64, i64),
        example: &[u8],
    ) {
        let stream = self.by_stream.entry((namespace.to_owned(), workload.to_owned())).or_default();
        if let Some(known) = stream.get_mut(template) {
            known.lines = known.lines.saturating_add(lines);
            known.first_ns = known.first_ns.min(first_ns);
            known.last_ns = known.last_ns.max(last_ns);
        } else if self.patterns < MAX_PATTERNS && !template.is_empty() {
            self.patterns += 1;
            let example = Some(example[..example.len().min(EXAMPLE)].to_vec());
            stream.insert(template.to_vec(), Counted { lines, first_ns, last_ns, example });
        } else {
            self.dropped_lines = self.dropped_lines.saturating_add(lines);
        }
    }

    /// Takes an example of a pattern that was counted.
    pub(crate) fn example(&mut self, (namespace, workload): (&str, &str), template: &[u8], body: &[u8]) {
        let stream = self.by_stream.get_mut(&(namespace.to_owned(), workload.to_owned()));
        if let Some(counted) = stream.and_then(|stream| stream.get_mut(template)) {
            counted.example = Some(body[..body.len().min(EXAMPLE)].to_vec());
        }
    }

    /// Counts bodies that have no templates yet.
    pub(crate) fn count_bodies(
        &mut self,
        request: &PatternRequest,
        stream: (&str, &str),
        bodies: &Texts,
        times: &[i64],
    ) {
        let template::Patterns { templates, of } = template::patterns(bodies);
        let templates: Vec<&[u8]> = templates.iter().collect();
        let rows = of.iter().copied().zip(times.iter().copied());
        for (row, template) in self.count(request, stream, &templates, rows) {
            self.example(stream, templates[template as usize], bodies.get(row));
        }
    }

    fn finish(self, registry: &Registry, errors: Vec<ScanError>) -> Patterns {
        let mut patterns = Vec::with_capacity(self.patterns);
        for ((namespace, workload), templates) in self.by_stream {
            patterns.extend(templates.into_iter().map(|(template, counted)| {
                let id = pattern_id(&template);
                let known = registry.known(&namespace, &workload, id);
                Pattern {
                    id,
                    namespace: namespace.clone(),
                    workload: workload.clone(),
                    text: shown(&template),
                    lines: counted.lines,
                    first_ns: counted.first_ns,
                    last_ns: counted.last_ns,
                    known_since_ns: known.map_or(counted.first_ns, |first_ns| first_ns.min(counted.first_ns)),
                    example: String::from_utf8_lossy(&counted.example.unwrap_or_default()).into_owned(),
                }
            }));
        }
        patterns.sort_by(|a, b| {
            let key = |pattern: &Pattern| (std::cmp::Reverse(pattern.lines), pattern.id);
            key(a).cmp(&key(b)).then_with(|| (&a.namespace, &a.workload).cmp(&(&b.namespace, &b.workload)))
        });
        Patterns { patterns, dropped_lines: self.dropped_lines, errors }
    }
}

/// The hash of a template: the same in every segment, workload and store.
pub(crate) fn pattern_id(template: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(template)
}

/// What stands for a slot where people read a template.
const SLOT: &str = "<*>";

/// A template as people read it.
pub(crate) fn shown(template: &[u8]) -> String {
    let parts = template.split(|byte| [template::SLOT, template::DIGITS].contains(byte));
    parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect::<Vec<_>>().join(SLOT)
}

impl Pattern {
    /// Whether it has all of these in its text or in its example.
    pub fn contains(&self, texts: &[String]) -> bool {
        texts.iter().all(|text| self.text.contains(text.as_str()) || self.example.contains(text.as_str()))
    }

    /// Whether lines of the other pattern could be of this one, had the blocks in which they were met had other
    /// neighbours: words that vary within a block are slots there, and stay words where they do not.
    pub fn covers(&self, other: &Self) -> bool {
        if (&self.namespace, &self.workload) != (&other.namespace, &other.workload) {
            return false;
        }
        let (mine, theirs) = (self.text.split(' '), other.text.split(' '));
        mine.clone().count() == theirs.clone().count()
            && mine.zip(theirs).all(|(mine, theirs)| covers(mine, theirs))
    }
}

/// Whether a word is another one with slots in the place of some of it.
fn covers(general: &str, special: &str) -> bool {
    let Some((first, rest)) = general.split_once(SLOT) else { return general == special };
    let Some(mut left) = special.strip_prefix(first) else { return false };
    let mut parts = rest.split(SLOT).peekable();
    while let Some(part) = parts.next() {
        left = match (parts.peek().is_some(), part.is_empty()) {
            (false, _) => return left.ends_with(part),
            (true, true) => continue,
            (true, false) => match left.split_once(part) {
                Some((_, left)) => left,
                None => return false,
            },
        };
    }
    true
}

/// The patterns of a snapshot's log lines.
pub(crate) fn log_patterns(snapshot: &Snapshot, request: &PatternRequest, stop: &Stop) -> Patterns {
    let (mut found, mut errors) = (Found::default(), Vec::new());
    for segment in snapshot.segments(TABLE).iter().filter(|segment| request.overlaps(segment.times())) {
        if stop.is_set() {
            break;
        }
        if let Err(error) = snapshot.reader.log_patterns(segment, request, &mut found) {
            errors.push(error);
        }
    }
    let mut streams: HashMap<(&str, &str), (Texts, Vec<i64>)> = HashMap::new();
    for chunk in snapshot.chunks(TABLE) {
        let Chunk::Log(rows) = &**chunk else { continue };
        if !chunk.times().is_some_and(|times| request.overlaps(times)) {
            continue;
        }
        for row in 0..rows.len() {
            let identity = &rows.origins[rows.origin[row] as usize].identity;
            if request.wants(&identity.namespace, &identity.workload) {
                let stream = streams.entry((&identity.namespace, &identity.workload)).or_default();
                stream.0.push(rows.bodies.get(row));
                stream.1.push(rows.ts[row]);
            }
        }
    }
    for (stream, (bodies, times)) in streams {
        found.count_bodies(request, stream, &bodies, &times);
    }
    found.finish(&snapshot.registry.lock(), errors)
}
