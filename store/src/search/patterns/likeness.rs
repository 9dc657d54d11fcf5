//! What patterns have in common: texts that they contain, and lines that could be of both.

use super::{Pattern, SLOT};

impl Pattern {
    /// Whether it has all of these in its text or in its example.
    pub fn contains(&self, texts: &[String]) -> bool {
        texts.iter().all(|text| self.text.contains(text.as_str()) || self.example.contains(text.as_str()))
    }

    /// Whether lines of the other pattern could be of this one, had the blocks in which they were met had other
    /// neighbours: words that vary within a block are slots there, and stay words where they do not. One that is all slots
    /// covers nothing: it would cover everything.
    pub fn covers(&self, other: &Self) -> bool {
        if (&self.namespace, &self.workload) != (&other.namespace, &other.workload) {
            return false;
        }
        if !self.text.replace(SLOT, "").contains(char::is_alphanumeric) {
            return self.text == other.text;
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
