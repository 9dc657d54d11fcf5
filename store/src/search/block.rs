//! Finding matches in a block of templates: needles are asked of templates and columns, and bodies are read only where
//! that leaves something to check.

use std::io;
use std::ops::Range;

use super::{LogRequest, Matcher};
use crate::template::{Bits, Block, Needle};

/// What of a request a block can answer.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Texts that every match has, beside `contains`.
    pub(super) parts: Vec<Vec<u8>>,
    /// Texts that every match has in some case; exact if the bool says so.
    folded: Vec<(Needle, bool)>,
    /// Texts that no match has in any case; those that a block can be sure of.
    folded_excludes: Vec<Needle>,
    /// Whether something is left that only a body can tell.
    unsure: bool,
}

impl Asked {
    pub(super) fn new(request: &LogRequest) -> Self {
        let LogRequest { contains, words, regexes, excludes, ignore_case, .. } = request;
        let mut asked = Self { unsure: !words.is_empty() || !regexes.is_empty(), ..Self::default() };
        if !ignore_case {
            asked.parts.extend(words.iter().cloned());
            return asked;
        }
        asked.folded.extend(contains.iter().chain(words).map(|text| folded(text)));
        asked.unsure |= asked.folded.iter().any(|(_, exact)| !exact);
        for (needle, exact) in excludes.iter().map(|text| folded(text)) {
            match exact {
                true => asked.folded_excludes.push(needle),
                false => asked.unsure = true,
            }
        }
        asked
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
        for (needle, _) in &self.asked.folded {
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
        if left.is_empty() {
            return Ok(());
        }
        let mut add = |row: usize| found.push(u32::try_from(row).unwrap_or(u32::MAX));
        if exact {
            left.iter().for_each(add);
            return Ok(());
        }
        let bodies = block.bodies(Some(&left))?;
        left.iter().zip(bodies.iter()).filter(|(_, body)| self.matches(body)).for_each(|(row, _)| add(row));
        Ok(())
    }
}
