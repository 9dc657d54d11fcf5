//! Secrets stop here: captured text is `RawText` until the rules have seen it, and only `Redacted` goes on the wire.
//!
//! One pass with an Aho-Corasick automaton finds the words that secrets stand behind (keys, prefixes, schemes); only
//! there `secret` looks closer. Card numbers are found by their digits, own rules by a `RegexSet`. What is found is
//! replaced by `[redacted:<rule>]`. The rules err on the side of hiding, but not of prose: see the table in the tests.

mod arguments;
mod card;
mod runs;
mod secret;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::bytes::{Regex, RegexSet};

use crate::logs::config::RedactRule;
use runs::Runs;
use secret::{Find, WORDS};

pub use arguments::redact_arguments;

/// Captured text that no rule has seen yet.
#[derive(Clone, Copy)]
pub struct RawText<'a>(&'a [u8]);

impl<'a> RawText<'a> {
    /// Any bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for RawText<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RawText({} bytes)", self.0.len())
    }
}

/// Text without the secrets that the rules know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted {
    bytes: Vec<u8>,
    hits: u32,
    opens_key: bool,
}

impl Redacted {
    /// For the wire.
    pub fn into_bytes(self) -> bytes::Bytes {
        self.bytes.into()
    }

    /// For fields that hold text; bytes that are no UTF-8 are replaced.
    pub fn into_string(self) -> String {
        match String::from_utf8(self.bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many secrets were taken out.
    pub fn hits(&self) -> u32 {
        self.hits
    }

    /// Whether a private key begins in it that does not end in it.
    pub(crate) fn opens_key(&self) -> bool {
        self.opens_key
    }

    /// Adds a line that was redacted as well.
    pub(crate) fn push_line(&mut self, line: Self) {
        let Self { bytes, hits, opens_key } = line;
        self.bytes.push(b'\n');
        self.bytes.extend_from_slice(&bytes);
        (self.hits, self.opens_key) = (self.hits + hits, opens_key);
    }

    /// Cuts it to this length.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }
}

/// A rule of the config that is not a regular expression.
#[derive(Debug, thiserror::Error)]
#[error("compile redaction rules")]
pub struct BuildRulesError {
    source: regex::Error,
}

/// Built-in rules and those of the config, compiled.
#[derive(Clone, Debug)]
pub struct Rules {
    words: AhoCorasick,
    own: RegexSet,
    own_rules: Vec<(String, Regex)>,
}

/// A secret's place and its rule.
#[derive(Debug, PartialEq, Eq)]
struct Hit<'a> {
    at: Range<usize>,
    rule: Cow<'a, str>,
}

impl Rules {
    /// Compiles the built-in rules and these.
    ///
    /// # Errors
    /// When a pattern is no regular expression; `LogsConfig::problems` names which.
    pub fn build(own: &[RedactRule]) -> Result<Self, BuildRulesError> {
        let failed = |source| BuildRulesError { source };
        let words = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::DFA))
            .build(WORDS.iter().map(|(word, _)| word))
            .expect("the built-in words are few and fixed");
        let set = RegexSet::new(own.iter().map(|rule| &rule.pattern)).map_err(failed)?;
        let compile = |rule: &RedactRule| Ok((rule.name.clone(), Regex::new(&rule.pattern).map_err(failed)?));
        Ok(Self { words, own: set, own_rules: own.iter().map(compile).collect::<Result<_, _>>()? })
    }

    fn hits(&self, text: &[u8]) -> (Vec<Hit<'_>>, bool) {
        let mut hits = Vec::new();
        let mut opens_key = false;
        let mut covered = 0;
        let mut runs = Runs::new();
        for found in self.words.find_overlapping_iter(text) {
            if found.start() < covered {
                continue;
            }
            let (_, word) = &WORDS[found.pattern().as_usize()];
            if let Some(Find { at, rule, is_open }) = word.look(text, found.start(), found.end(), &mut runs) {
                covered = at.end;
                opens_key |= is_open;
                hits.push(Hit { at, rule: Cow::Borrowed(rule) });
            }
        }
        card::find(text, |at| hits.push(Hit { at, rule: Cow::Borrowed("card") }));
        if !self.own_rules.is_empty() {
            for index in self.own.matches(text) {
                let (name, regex) = &self.own_rules[index];
                for captures in regex.captures_iter(text) {
                    let whole = captures.name("secret").or_else(|| captures.get(0));
                    let at = whole.map_or(0..0, |found| found.range());
                    if !at.is_empty() {
                        hits.push(Hit { at, rule: Cow::Borrowed(name) });
                    }
                }
            }
        }
        hits.sort_by_key(|hit| hit.at.start);
        (hits, opens_key)
    }
}

/// Takes out every secret that the rules know.
pub fn redact(raw: RawText<'_>, rules: &Rules) -> Redacted {
    let text = raw.0;
    let (hits, opens_key) = rules.hits(text);
    if hits.is_empty() {
        return Redacted { bytes: text.to_vec(), hits: 0, opens_key: false };
    }
    let mut bytes = Vec::with_capacity(text.len() + 16);
    let mut done = 0;
    let mut count = 0;
    for Hit { at, rule } in hits {
        if at.end <= done {
            continue;
        }
        if at.start >= done {
            bytes.extend_from_slice(&text[done..at.start]);
            bytes.extend_from_slice(b"[redacted:");
            bytes.extend_from_slice(rule.as_bytes());
            bytes.push(b']');
            count += 1;
        }
        done = at.end;
    }
    bytes.extend_from_slice(&text[done..]);
    Redacted { bytes, hits: count, opens_key }
}

/// A line of a private key that began in a line before: hidden as a whole; `None` when the line is not one.
pub(crate) fn redact_key_line(raw: RawText<'_>) -> Option<(Redacted, KeyGoesOn)> {
    let ends = secret::ends_key(raw.0);
    (ends || secret::is_key_line(raw.0)).then(|| {
        let redacted = Redacted { bytes: b"[redacted:private_key]".to_vec(), hits: 1, opens_key: !ends };
        (redacted, KeyGoesOn(!ends))
    })
}

/// Whether the next line belongs to the private key as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyGoesOn(pub(crate) bool);

#[cfg(test)]
mod tests;
