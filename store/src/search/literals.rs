//! What a body must contain for a request to match: literals, and the tokens that follow from them.

use regex_syntax::hir::{Hir, HirKind};

use super::token::{MIN_TOKEN, is_token_byte, tokens};

/// Tokens that a matching text must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Required {
    /// The text has each of these as a whole token.
    pub(crate) whole: Vec<Vec<u8>>,
    /// The text has each of these as a token or within one.
    pub(crate) part: Vec<Vec<u8>>,
}

impl Required {
    /// What follows from a literal that may start and end within a token.
    pub(super) fn add_literal(&mut self, literal: &[u8]) {
        for (start, token) in tokens(literal).filter(|(_, token)| token.len() >= MIN_TOKEN) {
            let inner = start > 0 && start + token.len() < literal.len();
            let list = if inner { &mut self.whole } else { &mut self.part };
            list.push(token.to_vec());
        }
    }

    /// What follows from a literal that stands as a word.
    pub(super) fn add_word(&mut self, word: &[u8]) {
        let whole = tokens(word).filter(|(_, token)| token.len() >= MIN_TOKEN);
        self.whole.extend(whole.map(|(_, token)| token.to_vec()));
    }

    /// The longest first: it is the rarest.
    pub(super) fn finish(&mut self) {
        for list in [&mut self.whole, &mut self.part] {
            list.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
            list.dedup();
        }
    }
}

/// Literals that every match of a regex contains.
pub(super) fn of_regex(hir: &Hir) -> Vec<Vec<u8>> {
    let mut literals = Vec::new();
    collect(hir, &mut literals);
    literals
}

fn collect(hir: &Hir, literals: &mut Vec<Vec<u8>>) {
    match hir.kind() {
        HirKind::Literal(literal) => literals.push(literal.0.to_vec()),
        HirKind::Capture(capture) => collect(&capture.sub, literals),
        HirKind::Concat(parts) => parts.iter().for_each(|part| collect(part, literals)),
        HirKind::Repetition(repetition) if repetition.min > 0 => collect(&repetition.sub, literals),
        // an alternation requires none of its branches alone
        HirKind::Repetition(_)
        | HirKind::Alternation(_)
        | HirKind::Empty
        | HirKind::Class(_)
        | HirKind::Look(_) => {}
    }
}

/// Whether a literal is worth looking for before anything else.
pub(super) fn is_selective(literal: &[u8]) -> bool {
    literal.len() >= 2 && literal.iter().any(|byte| is_token_byte(*byte))
}
