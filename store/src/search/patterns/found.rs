//! Counts of patterns as they come together, by stream, template and version.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Pattern, PatternRequest, PatternVersion, Patterns, pattern_id, shown};
use crate::ScanError;
use crate::registry::{Registry, Seen};
use crate::rows::Texts;
use crate::segment::{PatternLines as Lines, Version, Versions};
use crate::template;

/// More different patterns than this are only counted.
const MAX_PATTERNS: usize = 20_000;
/// Versions of a pattern that are told apart.
const MAX_VERSIONS: usize = 32;
/// Bytes of an example that are kept.
const EXAMPLE: usize = 1_000;

/// Counts as they come together.
#[derive(Debug, Default)]
pub(crate) struct Found {
    by_stream: HashMap<(String, String), HashMap<Vec<u8>, Counted>>,
    pub(crate) versions: Versions,
    /// The version that is asked for is always told apart.
    wanted: Option<Version>,
    patterns: usize,
    dropped_lines: u64,
}

#[derive(Debug, Default)]
struct Counted {
    versions: Vec<(Version, Lines)>,
    example: Option<Vec<u8>>,
}

/// What is known of patterns beside the lines of the range.
pub(super) struct Known<'a> {
    pub(super) registry: &'a Registry,
    /// Lines that the registry does not have yet.
    pub(super) outside: Found,
}

impl Counted {
    /// `wanted` is told apart however many there are.
    fn add(&mut self, version: Version, lines: Lines, wanted: Option<Version>) {
        let place =
            |versions: &[(Version, Lines)], version| versions.iter().position(|(known, _)| *known == version);
        let is_full = self.versions.len() >= MAX_VERSIONS && wanted != Some(version);
        let at = place(&self.versions, version)
            .or_else(|| is_full.then(|| place(&self.versions, Version::OTHER)).flatten());
        match at {
            Some(at) => self.versions[at].1.add(lines),
            None if is_full => self.versions.push((Version::OTHER, lines)),
            None => self.versions.push((version, lines)),
        }
    }

    fn lines(&self) -> u64 {
        self.versions.iter().fold(0, |sum, (_, lines)| sum.saturating_add(lines.lines))
    }

    /// The lines of one version, or of all.
    fn wanted(&self, version: Option<Option<Version>>) -> Option<Lines> {
        let wanted = |known: Version| version.is_none_or(|version| version == Some(known));
        let mut all = self.versions.iter().filter(|(known, _)| wanted(*known)).map(|(_, lines)| *lines);
        let mut sum = all.next()?;
        all.for_each(|lines| sum.add(lines));
        Some(sum)
    }
}

impl Found {
    /// Nothing yet; the version of the request has its place first.
    pub(super) fn of(request: &PatternRequest) -> Self {
        let mut found = Self::default();
        found.wanted = request.version.as_ref().map(|version| found.versions.place(version));
        found
    }

    /// Counts rows of a stream, each with its template, time and version; those without a time are not wanted. Returns rows
    /// that are wanted as examples, ascending, with the template of each.
    pub(crate) fn count(
        &mut self,
        (namespace, workload): (&str, &str),
        templates: &[&[u8]],
        rows: impl Iterator<Item = (u32, Option<(i64, Version)>)>,
    ) -> Vec<(usize, u32)> {
        let mut own: Vec<Option<(usize, Counted)>> = Vec::new();
        own.resize_with(templates.len(), || None);
        for (row, (template, wanted)) in rows.enumerate() {
            let (Some((ts, version)), Some(slot)) = (wanted, own.get_mut(template as usize)) else {
                continue;
            };
            let (_, counted) = slot.get_or_insert_with(|| (row, Counted::default()));
            counted.add(version, Lines::one(ts), self.wanted);
        }
        let mut wanted = Vec::new();
        let stream = self.by_stream.entry((namespace.to_owned(), workload.to_owned())).or_default();
        for (at, counted) in own.into_iter().enumerate() {
            let Some((row, counted)) = counted else { continue };
            if let Some(known) = stream.get_mut(templates[at]) {
                counted
                    .versions
                    .into_iter()
                    .for_each(|(version, lines)| known.add(version, lines, self.wanted));
            } else if self.patterns < MAX_PATTERNS {
                self.patterns += 1;
                stream.insert(templates[at].to_vec(), counted);
                wanted.push((row, at as u32));
            } else {
                self.dropped_lines = self.dropped_lines.saturating_add(counted.lines());
            }
        }
        wanted.sort_unstable();
        wanted
    }

    /// Adds lines of a version that were counted before.
    pub(crate) fn add(
        &mut self,
        (namespace, workload): (&str, &str),
        template: &[u8],
        (version, lines): (Version, Lines),
        example: &[u8],
    ) {
        let stream = self.by_stream.entry((namespace.to_owned(), workload.to_owned())).or_default();
        if let Some(known) = stream.get_mut(template) {
            known.add(version, lines, self.wanted);
        } else if self.patterns < MAX_PATTERNS && !template.is_empty() {
            self.patterns += 1;
            let example = Some(example[..example.len().min(EXAMPLE)].to_vec());
            stream.insert(template.to_vec(), Counted { versions: vec![(version, lines)], example });
        } else {
            self.dropped_lines = self.dropped_lines.saturating_add(lines.lines);
        }
    }

    /// Takes an example of a pattern that was counted.
    pub(crate) fn example(&mut self, (namespace, workload): (&str, &str), template: &[u8], body: &[u8]) {
        let stream = self.by_stream.get_mut(&(namespace.to_owned(), workload.to_owned()));
        if let Some(counted) = stream.and_then(|stream| stream.get_mut(template)) {
            counted.example = Some(body[..body.len().min(EXAMPLE)].to_vec());
        }
    }

    /// Counts bodies that have no templates yet, each with its time and version if it is wanted.
    pub(crate) fn count_bodies(
        &mut self,
        stream: (&str, &str),
        bodies: &Texts,
        wanted: impl Iterator<Item = Option<(i64, Version)>>,
    ) {
        let template::Patterns { templates, of } = template::patterns(bodies);
        let templates: Vec<&[u8]> = templates.iter().collect();
        for (row, template) in self.count(stream, &templates, of.iter().copied().zip(wanted)) {
            self.example(stream, templates[template as usize], bodies.get(row));
        }
    }

    /// The answer to a request whose lines these are.
    pub(super) fn finish(
        self,
        request: &PatternRequest,
        known: &Known<'_>,
        errors: Vec<ScanError>,
    ) -> Patterns {
        let version = request.version.as_ref().map(|version| self.versions.known(version));
        let mut patterns = Vec::with_capacity(self.patterns);
        let mut seen = HashSet::new();
        for ((namespace, workload), templates) in &self.by_stream {
            for (template, counted) in templates {
                let lines = counted.wanted(version);
                if lines.is_none() && !request.ever {
                    continue;
                }
                let names = (namespace.as_str(), workload.as_str());
                let of = Of { names, template, id: pattern_id(template) };
                seen.insert((namespace.as_str(), workload.as_str(), of.id));
                patterns.push(of.pattern(Some((&self.versions, counted)), lines, known));
            }
        }
        if request.ever {
            for ((namespace, workload), templates) in &known.outside.by_stream {
                for template in templates.keys() {
                    let names = (namespace.as_str(), workload.as_str());
                    let of = Of { names, template, id: pattern_id(template) };
                    if seen.insert((names.0, names.1, of.id)) {
                        patterns.push(of.pattern(None, None, known));
                    }
                }
            }
            let gone = known.registry.iter().filter(|gone| request.wants(&gone.namespace, &gone.workload));
            let gone = gone.filter(|gone| !seen.contains(&(&*gone.namespace, &*gone.workload, gone.id)));
            patterns.extend(gone.map(of_registry));
        }
        patterns.sort_by(|a, b| {
            let key = |pattern: &Pattern| (Reverse(pattern.lines), pattern.id);
            key(a).cmp(&key(b)).then_with(|| (&a.namespace, &a.workload).cmp(&(&b.namespace, &b.workload)))
        });
        Patterns { patterns, dropped_lines: self.dropped_lines, errors }
    }
}

/// Which pattern of which stream.
struct Of<'a> {
    names: (&'a str, &'a str),
    template: &'a [u8],
    id: u64,
}

impl Of<'_> {
    /// The pattern with its lines of the range, and all that is known of it beside.
    fn pattern(
        &self,
        here: Option<(&Versions, &Counted)>,
        lines: Option<Lines>,
        known: &Known<'_>,
    ) -> Pattern {
        let Known { registry, outside } = known;
        let (namespace, workload) = self.names;
        let key = (namespace.to_owned(), workload.to_owned());
        let there = outside.by_stream.get(&key).and_then(|stream| stream.get(self.template));
        let there = there.map(|counted| (&outside.versions, counted));
        let registered = registry.seen(namespace, workload, self.id);
        let all = || [here, there].into_iter().flatten();
        let since = all().flat_map(|(_, counted)| &counted.versions).map(|(_, lines)| lines.first_ns);
        let since = since.chain(registered.map(|seen| seen.first_ns)).min().unwrap_or(0);
        let mut versions: BTreeMap<&str, PatternVersion> = BTreeMap::new();
        let mut note = |name, lines: u64, first_ns: i64, last_ns: i64| {
            let fresh = || PatternVersion { version: String::new(), lines: 0, first_ns, last_ns };
            let version = versions.entry(name).or_insert_with(fresh);
            version.lines = version.lines.saturating_add(lines);
            version.first_ns = version.first_ns.min(first_ns);
            version.last_ns = version.last_ns.max(last_ns);
        };
        for (at, (names, counted)) in all().enumerate() {
            for (version, lines) in &counted.versions {
                let in_range = if at == 0 && here.is_some() { lines.lines } else { 0 };
                if let Some(name) = names.name(*version) {
                    note(name, in_range, lines.first_ns, lines.last_ns);
                }
            }
        }
        for version in registered.into_iter().flat_map(|seen| &seen.versions) {
            note(version.version.as_str(), 0, version.first_ns, version.last_ns);
        }
        let versions = versions
            .into_iter()
            .map(|(name, version)| PatternVersion { version: name.to_owned(), ..version });
        let example = all().find_map(|(_, counted)| counted.example.as_deref());
        let times = lines.map_or((since, since), |lines| (lines.first_ns, lines.last_ns));
        Pattern {
            id: self.id,
            namespace: namespace.to_owned(),
            workload: workload.to_owned(),
            text: shown(self.template),
            lines: lines.map_or(0, |lines| lines.lines),
            first_ns: times.0,
            last_ns: times.1,
            known_since_ns: since,
            versions: in_order(versions.collect()),
            example: String::from_utf8_lossy(example.unwrap_or_default()).into_owned(),
        }
    }
}

fn in_order(mut versions: Vec<PatternVersion>) -> Vec<PatternVersion> {
    versions.sort_by(|a, b| (a.first_ns, &a.version).cmp(&(b.first_ns, &b.version)));
    versions
}

/// A pattern of which only the registry knows.
fn of_registry(seen: &Seen) -> Pattern {
    let versions = seen.versions.iter().map(|version| PatternVersion {
        version: version.version.clone(),
        lines: 0,
        first_ns: version.first_ns,
        last_ns: version.last_ns,
    });
    Pattern {
        id: seen.id,
        namespace: seen.namespace.clone(),
        workload: seen.workload.clone(),
        text: seen.text.clone(),
        lines: 0,
        first_ns: seen.first_ns,
        last_ns: seen.last_ns,
        known_since_ns: seen.first_ns,
        versions: in_order(versions.collect()),
        example: seen.example.clone(),
    }
}
