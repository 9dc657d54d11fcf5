//! Finding matches in a block of templates: needles are asked of templates and columns, and bodies are read only where
//! that leaves something to check.

use std::io;
use std::ops::Range;

use super::token::is_word_byte;
use super::{LogRequest, Matcher};
use crate::template::{Bits, Block, Needle, Recipe};

/// Automata of one request; what is asked beyond them is asked of bodies.
const MOST_AUTOMATA: usize = 8;

/// What of a request a block can answer.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Texts that every match has, beside `contains`.
    pub(super) parts: Vec<Vec<u8>>,
    /// Texts that every match has in some case.
    folded: Vec<Needle>,
    /// Texts that no match has in any case; those that a block can be sure of.
    folded_excludes: Vec<Needle>,
    /// What every match passes; it says itself of which rows it is not sure.
    automata: Vec<Recipe>,
    /// Whether something is left that only a body can tell.
    unsure: bool,
}

impl Asked {
    pub(super) fn new(request: &LogRequest) -> Self {
        let LogRequest { contains, words, regexes, excludes, ignore_case, .. } = request;
        let mut asked = Self::default();
        let LogRequest { as_shown, .. } = request;
        for regex in regexes {
            asked.add_automaton(Some(Recipe::new(regex, *ignore_case, *as_shown)));
        }
        for word in words {
            asked.add_automaton(of_word(word, *ignore_case));
        }
        if !ignore_case {
            asked.parts.extend(words.iter().cloned());
            return asked;
        }
        for text in contains {
            let (needle, exact) = folded(text);
            if !exact {
                asked.add_automaton(of_text(text, ("", "")));
            }
            asked.folded.push(needle);
        }
        asked.folded.extend(words.iter().map(|text| folded(text).0));
        for (needle, exact) in excludes.iter().map(|text| folded(text)) {
            match exact {
                true => asked.folded_excludes.push(needle),
                false => asked.unsure = true,
            }
        }
        asked
    }

    /// Every match passes this, if there is such a one.
    fn add_automaton(&mut self, automaton: Option<Recipe>) {
        match automaton {
            Some(automaton) if self.automata.len() < MOST_AUTOMATA => self.automata.push(automaton),
            _ => self.unsure = true,
        }
    }

    /// Every match is this text.
    pub(super) fn add_whole(&mut self, text: &[u8]) {
        self.parts.push(text.to_vec());
        self.unsure = true;
    }
}

/// The longest part of a text whose cases are all ASCII, and whether that is all of it. The letters k and s fold to
/// letters beyond ASCII as well.
fn folded(text: &[u8]) -> (Needle, bool) {
    let plain = |byte: &u8| byte.is_ascii() && !matches!(byte, b'k' | b'K' | b's' | b'S');
    let part = text.split(|byte| !plain(byte)).max_by_key(|part| part.len()).unwrap_or(b"");
    (Needle::folded(part), part.len() == text.len())
}

/// A word that stands for itself, with no byte of a word beside its own such ends.
fn of_word(word: &[u8], ignore_case: bool) -> Option<Recipe> {
    let is_joined = |end: Option<&u8>| end.is_some_and(|byte| is_word_byte(*byte));
    let before = if is_joined(word.first()) { "(?:^|[^0-9A-Za-z_])" } else { "" };
    let behind = if is_joined(word.last()) { "(?:$|[^0-9A-Za-z_])" } else { "" };
    if ignore_case { of_text(word, (before, behind)) } else { of(word, "", (before, behind)) }
}

/// A text whatever its case.
fn of_text(text: &[u8], around: (&str, &str)) -> Option<Recipe> {
    of(text, "(?i)", around)
}

/// `None` for what is not ASCII, of which an automaton is never sure.
fn of(text: &[u8], flags: &str, (before, behind): (&str, &str)) -> Option<Recipe> {
    let text = str::from_utf8(text).ok().filter(|text| text.is_ascii())?;
    Some(Recipe::new(&format!("{before}{flags}{}{behind}", regex::escape(text)), false, false))
}

impl Matcher {
    /// The rows of a block within `ranges` whose bodies match, ascending.
    pub(crate) fn matching_block(
        &self,
        block: &Block<'_>,
        ranges: impl Iterator<Item = Range<usize>>,
        found: &mut Vec<u32>,
    ) -> io::Result<()> {
        let mut left = Bits::new(block.rows());
        ranges.flatten().for_each(|row| left.set(row));
        let mut exact = !self.asked.unsure;
        let contains = self.contains.iter().map(|finder| finder.needle());
        for needle in contains.chain(self.asked.parts.iter().map(Vec::as_slice)) {
            let (rows, sure) = block.rows_with(&Needle::new(needle))?;
            exact &= sure;
            left.and(&rows);
            if left.is_empty() {
                return Ok(());
            }
        }
        for needle in &self.asked.folded {
            let (rows, sure) = block.rows_with(needle)?;
            exact &= sure;
            left.and(&rows);
        }
        let excludes = self.excludes.iter().map(|finder| Needle::new(finder.needle()));
        for needle in excludes.chain(self.asked.folded_excludes.iter().cloned()) {
            match block.rows_with(&needle)? {
                (rows, true) => left.without(&rows),
                _ => exact = false,
            }
        }
        let mut doubtful = Bits::new(block.rows());
        for recipe in &self.asked.automata {
            if left.is_empty() {
                return Ok(());
            }
            let Some(automaton) = recipe.automaton() else {
                exact = false;
                continue;
            };
            let (mut passing, unsure) = block.rows_passing(automaton, &left)?;
            passing.or(&unsure);
            left.and(&passing);
            doubtful.or(&unsure);
        }
        if !exact {
            doubtful = left.clone();
        }
        doubtful.and(&left);
        if !doubtful.is_empty() {
            let bodies = block.bodies(Some(&doubtful))?;
            let mut failed = Bits::new(block.rows());
            let asked = doubtful.iter().zip(bodies.iter());
            asked.filter(|(_, body)| !self.matches(body)).for_each(|(row, _)| failed.set(row));
            left.without(&failed);
        }
        found.extend(left.iter().map(|row| u32::try_from(row).unwrap_or(u32::MAX)));
        Ok(())
    }
}
