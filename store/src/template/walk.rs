//! The ways in which a needle may lie in a template: each a list of tests on its slots.

use super::DIGITS;
use super::find::Test;
use super::head::Template;
use super::may::may;

/// Ways in which a needle may lie in a template, before its lines are read instead.
pub(super) const MAX_WAYS: usize = 256;
/// Steps in looking for them.
pub(super) const MAX_STEPS: usize = 50_000;

/// Finds the ways in which a needle may lie in a template.
pub(super) struct Walk<'a> {
    pub(super) literals: &'a [&'a [u8]],
    pub(super) marks: &'a [u8],
    pub(super) template: &'a Template,
    pub(super) test: Test<'a>,
    pub(super) ways: Vec<Vec<(usize, Test<'a>)>>,
    pub(super) steps: usize,
    /// Tests of the way that is being walked.
    pub(super) tests: Vec<(usize, Test<'a>)>,
}

impl<'a> Walk<'a> {
    pub(super) fn start(&mut self) {
        let text = self.test.text;
        if self.test.start {
            return self.literal(0, text);
        }
        for slot in 0..self.literals.len() {
            let literal = self.literals[slot];
            // it begins within the literal, and goes on behind it
            for from in 0..literal.len() {
                if let Some(rest) = text.strip_prefix(&literal[from..]) {
                    self.behind(slot, rest);
                }
            }
            if self.test.end && slot + 1 == self.literals.len() && literal.ends_with(text) {
                self.found();
            }
            if slot == self.marks.len() {
                break;
            }
            // it lies within the slot
            let last = slot + 1 == self.marks.len() && self.literals[slot + 1].is_empty();
            if !self.test.end || last {
                self.on(slot, text, false, self.test.end, Self::found);
            }
            // it begins within the slot, and goes on behind it
            for len in (1..text.len()).filter(|len| self.fits(slot + 1, &text[*len..])).collect::<Vec<_>>() {
                self.on(slot, &text[..len], false, true, |walk| walk.literal(slot + 1, &text[len..]));
            }
            if self.test.end {
                // all of it ends the slot, and nothing follows but empty slots
                self.on(slot, text, false, true, |walk| walk.literal(slot + 1, b""));
            }
        }
    }

    /// Whether the rest of the needle may begin where literal `at` begins, by that literal alone.
    #[inline]
    fn fits(&self, at: usize, rest: &[u8]) -> bool {
        let literal = self.literals[at];
        let last = at + 1 == self.literals.len();
        match (last, self.test.end) {
            (true, true) => rest == literal,
            (true, false) => literal.starts_with(rest),
            (false, true) => rest.starts_with(literal),
            (false, false) => literal.starts_with(rest) || rest.starts_with(literal),
        }
    }

    /// The rest of the needle begins where a literal begins.
    fn literal(&mut self, at: usize, rest: &'a [u8]) {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return;
        }
        let literal = self.literals[at];
        if self.test.end {
            if at + 1 == self.literals.len() {
                if rest == literal {
                    self.found();
                }
                return;
            }
        } else if literal.starts_with(rest) {
            return self.found();
        }
        if let Some(rest) = rest.strip_prefix(literal) {
            self.behind(at, rest);
        }
    }

    /// The rest of the needle begins where slot `slot` begins.
    fn behind(&mut self, slot: usize, rest: &'a [u8]) {
        if slot >= self.marks.len() {
            if rest.is_empty() {
                self.found();
            }
            return;
        }
        if !self.test.end {
            if rest.is_empty() {
                return self.found();
            }
            self.on(slot, rest, true, false, Self::found);
        }
        for len in 0..=rest.len() {
            if (len == rest.len() && !self.test.end) || !self.fits(slot + 1, &rest[len..]) {
                continue;
            }
            self.on(slot, &rest[..len], true, true, |walk| walk.literal(slot + 1, &rest[len..]));
        }
    }

    /// Goes on if the slot may pass the test.
    fn on(&mut self, slot: usize, text: &'a [u8], start: bool, end: bool, go: impl FnOnce(&mut Self)) {
        self.steps += 1;
        if self.steps > MAX_STEPS || self.ways.len() > MAX_WAYS {
            return;
        }
        if self.marks[slot] == DIGITS && !text.iter().all(u8::is_ascii_digit) {
            return;
        }
        let test = Test { text, start, end, ..self.test };
        let Some(column) = self.template.columns.get(slot) else { return };
        if may(column, test) {
            self.tests.push((slot, test));
            go(self);
            self.tests.pop();
        }
    }

    fn found(&mut self) {
        if !self.ways.contains(&self.tests) {
            self.ways.push(self.tests.clone());
        }
    }
}
