//! Regexes as automata whose state can be carried from one piece of a line to the next.
//!
//! What is not ASCII ends in "unsure": the automaton stays small, and what a body is shown as does not matter to it.

use std::sync::OnceLock;

use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::{primitives::StateID, start, syntax};

/// Memory of an automaton, and of making it, bytes: some ten milliseconds of work at most.
const MOST: usize = 256 << 10;

/// A regex that becomes an automaton when a block is first asked: to make one costs more than most requests, of which
/// many never come to a block.
#[derive(Debug)]
pub(crate) struct Recipe {
    pattern: String,
    ignore_case: bool,
    utf8: bool,
    made: OnceLock<Option<Automaton>>,
}

impl Recipe {
    /// `utf8` and `ignore_case` are as the regex crate has them.
    pub(crate) fn new(pattern: &str, ignore_case: bool, utf8: bool) -> Self {
        Self { pattern: pattern.to_owned(), ignore_case, utf8, made: OnceLock::new() }
    }

    /// The automaton; `None` where it would be too large, which is found out once.
    pub(crate) fn automaton(&self) -> Option<&Automaton> {
        self.made.get_or_init(|| Automaton::new(&self.pattern, self.ignore_case, self.utf8)).as_ref()
    }
}

/// A regex that was made into an automaton.
#[derive(Clone, Debug)]
pub(crate) struct Automaton {
    dfa: dense::DFA<Vec<u32>>,
    start: StateID,
}

/// How far an automaton has come in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    In(StateID),
    /// The text matches, whatever follows.
    Yes,
    /// It does not, whatever follows.
    No,
    /// Only the text itself can tell.
    Unsure,
}

impl Automaton {
    /// `None` where it would be too large; `utf8` and `ignore_case` are as the regex crate has them.
    pub(crate) fn new(pattern: &str, ignore_case: bool, utf8: bool) -> Option<Self> {
        let mut config = dense::Config::new()
            .start_kind(StartKind::Unanchored)
            .accelerate(false)
            .unicode_word_boundary(true)
            .dfa_size_limit(Some(MOST))
            .determinize_size_limit(Some(MOST));
        for byte in 0x80..=0xff {
            config = config.quit(byte, true);
        }
        let dfa = dense::Builder::new()
            .configure(config)
            .syntax(syntax::Config::new().utf8(utf8).case_insensitive(ignore_case))
            .thompson(thompson::Config::new().utf8(false).nfa_size_limit(Some(MOST)))
            .build(pattern)
            .ok()?;
        let start = dfa.start_state(&start::Config::new()).ok()?;
        Some(Self { dfa, start })
    }

    /// Before the first byte of a text.
    pub(super) fn start(&self) -> At {
        self.at(self.start)
    }

    /// After some more of the text.
    #[inline]
    pub(super) fn run(&self, at: At, text: &[u8]) -> At {
        let At::In(mut state) = at else { return at };
        for byte in text {
            state = self.dfa.next_state(state, *byte);
            if self.dfa.is_special_state(state) {
                match self.at(state) {
                    At::In(_) => {}
                    settled => return settled,
                }
            }
        }
        At::In(state)
    }

    /// Whether the text matches that ends here; `None` where only the text can tell.
    pub(super) fn end(&self, at: At) -> Option<bool> {
        match at {
            At::In(state) => Some(self.dfa.is_match_state(self.dfa.next_eoi_state(state))),
            At::Yes => Some(true),
            At::No => Some(false),
            At::Unsure => None,
        }
    }

    /// Whether texts of these bytes leave it where it is.
    pub(super) fn stays(&self, at: At, mut bytes: impl Iterator<Item = u8>) -> bool {
        let At::In(state) = at else { return true };
        bytes.all(|byte| self.dfa.next_state(state, byte) == state)
    }

    #[inline]
    fn at(&self, state: StateID) -> At {
        if self.dfa.is_match_state(state) {
            At::Yes
        } else if self.dfa.is_dead_state(state) {
            At::No
        } else if self.dfa.is_quit_state(state) {
            At::Unsure
        } else {
            At::In(state)
        }
    }
}
