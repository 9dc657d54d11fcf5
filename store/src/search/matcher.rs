//! What a match is: the one definition, and a fast way to find matches in many bodies at once.

use memchr::memmem::{self, Finder};
use regex::bytes::{Regex, RegexBuilder};

use super::block::Asked;
use super::literals::{self, Required};
use super::token::is_word_byte;
use super::{LogRequest, RequestError};
use crate::rows::{Texts, shown};

/// Compiled regexes may take this much memory, bytes.
const REGEX_BYTES: usize = 4 << 20;

/// U+FFFD.
const SHOWN: &[u8] = "\u{fffd}".as_bytes();

/// The text conditions of a request.
#[derive(Debug)]
pub(crate) struct Matcher {
    pub(super) contains: Vec<Finder<'static>>,
    words: Vec<Finder<'static>>,
    regexes: Vec<Regex>,
    /// Regexes look at bodies as they are shown.
    as_shown: bool,
    pub(super) excludes: Vec<Finder<'static>>,
    excluded: Vec<Regex>,
    folded_words: Vec<Regex>,
    /// What the body must be.
    whole: Vec<Vec<u8>>,
    /// What a block of templates is asked.
    pub(super) asked: Asked,
    /// A literal that every match contains; the longest.
    lead: Option<Finder<'static>>,
    /// Whether finding `lead` is all there is to check.
    lead_decides: bool,
    required: Required,
}

impl Matcher {
    pub(crate) fn new(request: &LogRequest) -> Result<Self, RequestError> {
        let LogRequest { contains, words, regexes, excludes, ignore_case, .. } = request;
        let mut matcher = Self {
            contains: Vec::new(),
            words: Vec::new(),
            regexes: Vec::new(),
            as_shown: request.as_shown,
            excludes: Vec::new(),
            excluded: Vec::new(),
            folded_words: Vec::new(),
            whole: Vec::new(),
            asked: Asked::new(request),
            lead: None,
            lead_decides: false,
            required: Required::default(),
        };
        let mut literals: Vec<Vec<u8>> = Vec::new();
        for (index, pattern) in regexes.iter().enumerate() {
            let (regex, mut required) = compile(index, pattern, request)?;
            matcher.regexes.push(regex);
            // what stands for bytes that are not UTF-8 is in no body
            required.retain(|literal| !request.as_shown || memmem::find(literal, SHOWN).is_none());
            required.iter().for_each(|literal| matcher.required.add_literal(literal));
            matcher.asked.parts.extend(required.iter().cloned());
            literals.extend(required);
        }
        let finder = |text: &Vec<u8>| Finder::new(text).into_owned();
        if *ignore_case {
            for text in contains {
                matcher.regexes.push(folded(text)?);
            }
            for text in words {
                matcher.folded_words.push(folded(text)?);
            }
            for text in excludes {
                matcher.excluded.push(folded(text)?);
            }
        } else {
            contains.iter().for_each(|text| matcher.required.add_literal(text));
            words.iter().for_each(|word| matcher.required.add_word(word));
            literals.extend(contains.iter().chain(words).cloned());
            matcher.contains = contains.iter().map(finder).collect();
            matcher.words = words.iter().map(finder).collect();
            matcher.excludes = excludes.iter().map(finder).collect();
        }
        for (_, text) in request.equals.iter().filter(|(name, _)| name == "body") {
            let text = text.as_bytes().to_vec();
            matcher.required.add_word(&text);
            matcher.asked.add_whole(&text);
            literals.push(text.clone());
            matcher.whole.push(text);
        }
        matcher.required.finish();
        let lead =
            literals.into_iter().filter(|literal| literals::is_selective(literal)).max_by_key(Vec::len);
        matcher.lead_decides = matcher.lead_is_all(request, lead.as_deref());
        matcher.lead = lead.as_ref().map(finder);
        Ok(matcher)
    }

    fn lead_is_all(&self, request: &LogRequest, lead: Option<&[u8]>) -> bool {
        let plain = request.regexes.is_empty() && request.words.is_empty() && request.excludes.is_empty();
        plain
            && self.whole.is_empty()
            && !request.ignore_case
            && request.contains.len() == 1
            && lead == Some(&request.contains[0])
    }

    /// Whether every body matches.
    pub(crate) fn is_empty(&self) -> bool {
        self.contains.is_empty()
            && self.words.is_empty()
            && self.regexes.is_empty()
            && self.excludes.is_empty()
            && self.excluded.is_empty()
            && self.folded_words.is_empty()
            && self.whole.is_empty()
    }

    /// Tokens that a page must have to be worth reading.
    pub(crate) fn required(&self) -> &Required {
        &self.required
    }

    /// Whether this body matches: the definition.
    pub(crate) fn matches(&self, body: &[u8]) -> bool {
        self.whole.iter().all(|text| text == body)
            && self.contains.iter().all(|needle| needle.find(body).is_some())
            && self.words.iter().all(|word| has_word(body, word))
            && self.regexes_match(body)
            && self.folded_words.iter().all(|word| has_folded_word(body, word))
            && !self.excludes.iter().any(|needle| needle.find(body).is_some())
            && !self.excluded.iter().any(|needle| needle.is_match(body))
    }

    fn regexes_match(&self, body: &[u8]) -> bool {
        if self.regexes.is_empty() {
            return true;
        }
        let text = match self.as_shown {
            true => shown(body),
            false => return self.regexes.iter().all(|regex| regex.is_match(body)),
        };
        self.regexes.iter().all(|regex| regex.is_match(text.as_bytes()))
    }

    /// The rows among `rows` whose bodies match, ascending.
    pub(crate) fn matching(&self, bodies: &Texts, rows: std::ops::Range<usize>, found: &mut Vec<u32>) {
        let mut add = |row: usize| found.push(u32::try_from(row).unwrap_or(u32::MAX));
        let Some(lead) = &self.lead else {
            return rows.filter(|row| self.matches(bodies.get(*row))).for_each(add);
        };
        // all bodies as one haystack: most have no match, and are never looked at one by one
        let all = bodies.all();
        if rows.is_empty() {
            return;
        }
        let end = bodies.range(rows.end - 1).end;
        let mut at = bodies.range(rows.start).start;
        while let Some(position) = all.get(at..end).and_then(|rest| lead.find(rest)) {
            let position = at + position;
            let row = bodies.row_at(position);
            let body = bodies.range(row);
            if position + lead.needle().len() > body.end {
                // it began in this body and ended in the next: no match, and the next may begin one byte on
                at = position + 1;
                continue;
            }
            if self.lead_decides || self.matches(&all[body.clone()]) {
                add(row);
            }
            at = body.end;
        }
    }
}

/// Whether `word` stands in `body` with no word byte beside its own word bytes.
pub(crate) fn has_word(body: &[u8], word: &Finder<'_>) -> bool {
    let len = word.needle().len();
    let mut at = 0;
    while let Some(position) = body.get(at..).and_then(|rest| word.find(rest)) {
        let start = at + position;
        if is_whole(body, start, start + len) {
            return true;
        }
        at = start + 1;
    }
    false
}

fn has_folded_word(body: &[u8], word: &Regex) -> bool {
    let mut at = 0;
    while at <= body.len() {
        let Some(found) = word.find_at(body, at) else { return false };
        if is_whole(body, found.start(), found.end()) {
            return true;
        }
        at = found.start() + 1;
    }
    false
}

fn is_whole(body: &[u8], start: usize, end: usize) -> bool {
    let joined = |left: Option<usize>, right: usize| {
        let left = left.and_then(|left| body.get(left));
        left.is_some_and(|byte| is_word_byte(*byte))
            && body.get(right).is_some_and(|byte| is_word_byte(*byte))
    };
    start == end || (!joined(start.checked_sub(1), start) && !joined(end.checked_sub(1), end))
}

fn compile(index: usize, pattern: &str, request: &LogRequest) -> Result<(Regex, Vec<Vec<u8>>), RequestError> {
    let ignore_case = request.ignore_case;
    let mut parser = regex_syntax::ParserBuilder::new();
    let parsed = parser.utf8(request.as_shown).case_insensitive(ignore_case).build().parse(pattern);
    let hir = parsed.map_err(|error| {
        let position = match &error {
            regex_syntax::Error::Parse(error) => Some(error.span().start.offset),
            regex_syntax::Error::Translate(error) => Some(error.span().start.offset),
            _ => None,
        };
        let detail = match &error {
            regex_syntax::Error::Parse(error) => error.kind().to_string(),
            regex_syntax::Error::Translate(error) => error.kind().to_string(),
            other => other.to_string(),
        };
        RequestError::Regex { index, position, detail }
    })?;
    let regex = RegexBuilder::new(pattern).case_insensitive(ignore_case).size_limit(REGEX_BYTES).build();
    let regex =
        regex.map_err(|error| RequestError::Regex { index, position: None, detail: error.to_string() })?;
    Ok((regex, literals::of_regex(&hir)))
}

/// A regex for `text` itself, whatever its case. Bytes that are not UTF-8 only match themselves.
fn folded(text: &[u8]) -> Result<Regex, RequestError> {
    let mut pattern = String::new();
    for chunk in text.utf8_chunks() {
        pattern.push_str(&regex::escape(chunk.valid()));
        for byte in chunk.invalid() {
            pattern.push_str(&format!("(?-u:\\x{byte:02x})"));
        }
    }
    let regex = RegexBuilder::new(&pattern).case_insensitive(true).size_limit(REGEX_BYTES).build();
    regex.map_err(|error| RequestError::Regex { index: 0, position: None, detail: error.to_string() })
}
