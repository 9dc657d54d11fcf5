//! Log patterns: which templates the lines of a range have, how many each, since when and until when, in which versions.
//!
//! A pattern is the template of a body's first line; its id is the hash of the template and so the same in every
//! segment and store. Segments have counted their patterns by minute and version; where a range cuts a minute, blocks give
//! their templates without bodies; the rest is split here. Since when there is such a line at all, the registry knows.

mod found;
mod likeness;

use std::collections::HashMap;

use super::TABLE;
use crate::rows::{Chunk, LogRows, Texts};
use crate::segment::Version;
use crate::snapshot::{Snapshot, Stop};
use crate::template;
use crate::{ScanError, Scope};

pub(crate) use found::Found;
use found::Known;

const MINUTE_NS: i64 = 60_000_000_000;

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
    /// Only lines of this version of a workload; '' are those that say none.
    pub version: Option<String>,
    /// Patterns without such lines too, with none, as far as the registry or unsealed lines have them.
    pub ever: bool,
    /// Whose lines; the view's own scope narrows it.
    pub scope: Scope,
}

/// A pattern of a workload's lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// The versions of the workload that had such lines, in the order of their first one, as far as the registry knows.
    pub versions: Vec<PatternVersion>,
    /// One line of any version, cut at 1,000 bytes.
    pub example: String,
}

/// A version of a workload that had lines of a pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatternVersion {
    /// '' for lines that do not say their version.
    pub version: String,
    /// Its lines in the range.
    pub lines: u64,
    /// The first that the store ever had, ns.
    pub first_ns: i64,
    /// The last, ns.
    pub last_ns: i64,
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

impl PatternRequest {
    pub(crate) fn wants(&self, namespace: &str, workload: &str) -> bool {
        self.scope.allows(namespace)
            && self.namespace.as_ref().is_none_or(|wanted| wanted == namespace)
            && self.workload.as_ref().is_none_or(|wanted| wanted == workload)
    }

    pub(crate) fn overlaps(&self, (oldest, newest): (i64, i64)) -> bool {
        newest >= self.from_ns && oldest < self.to_ns
    }

    pub(crate) fn has(&self, ts: i64) -> bool {
        ts >= self.from_ns && ts < self.to_ns
    }

    /// Whether some minutes of these times are only in part within the range.
    pub(crate) fn cuts_a_minute(&self, (oldest, newest): (i64, i64)) -> bool {
        let cuts = |bound: i64| bound.rem_euclid(MINUTE_NS) != 0;
        (self.from_ns > oldest && cuts(self.from_ns)) || (self.to_ns <= newest && cuts(self.to_ns))
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

/// The patterns of a snapshot's log lines.
pub(crate) fn log_patterns(snapshot: &Snapshot, request: &PatternRequest, stop: &Stop) -> Patterns {
    let (mut found, mut errors) = (Found::of(request), Vec::new());
    for segment in snapshot.segments(TABLE).iter().filter(|segment| request.overlaps(segment.times())) {
        if stop.is_set() {
            break;
        }
        if let Err(error) = snapshot.reader.log_patterns(segment, request, &mut found) {
            errors.push(error);
        }
    }
    unsealed(snapshot, request, stop, &mut found, |ts| request.has(ts));
    // what is sealed is known for ever; what is not and lies outside the range only by looking
    let mut outside = Found::of(request);
    if request.ever {
        unsealed(snapshot, request, stop, &mut outside, |ts| !request.has(ts));
    }
    found.finish(request, &Known { registry: &snapshot.registry.lock(), outside }, errors)
}

/// Lines of a stream that are not sealed.
#[derive(Default)]
struct Unsealed {
    bodies: Texts,
    times: Vec<i64>,
    versions: Vec<Version>,
}

/// Counts lines that are not sealed, of the times that are wanted.
fn unsealed(
    snapshot: &Snapshot,
    request: &PatternRequest,
    stop: &Stop,
    found: &mut Found,
    wants: impl Fn(i64) -> bool,
) {
    let mut streams: HashMap<(&str, &str), Unsealed> = HashMap::new();
    for chunk in snapshot.chunks(TABLE) {
        let Chunk::Log(rows) = &**chunk else { continue };
        let rows: &LogRows = rows;
        let versions: Vec<Version> =
            rows.origins.iter().map(|origin| found.versions.place(&origin.version)).collect();
        for row in (0..rows.len()).filter(|row| wants(rows.ts[*row])) {
            let origin = rows.origin[row] as usize;
            let identity = &rows.origins[origin].identity;
            if request.wants(&identity.namespace, &identity.workload) {
                let stream = streams.entry((&identity.namespace, &identity.workload)).or_default();
                stream.bodies.push(rows.bodies.get(row));
                stream.times.push(rows.ts[row]);
                stream.versions.push(versions[origin]);
            }
        }
    }
    for (stream, Unsealed { bodies, times, versions }) in streams {
        if !stop.is_set() {
            found.count_bodies(stream, &bodies, times.iter().copied().zip(versions).map(Some));
        }
    }
}
