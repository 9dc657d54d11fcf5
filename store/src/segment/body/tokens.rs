//! The tokens of a page: a set of hashes for its bloom, the longest one, and the long ones as text.

use super::bloom;
use super::format::LONG_TOKEN;
use crate::search::{MIN_TOKEN, is_token_byte, tokens};
use crate::template::{DIGITS, SLOT};

/// Long tokens of a page, bytes.
const MAX_LONG: usize = 4 << 10;
/// A run of digits of a number whose value is not in the bloom.
pub(super) const MASK: u8 = DIGITS;

/// What is gathered of the tokens of a page.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(super) set: TokenSet,
    pub(super) long: Vec<u8>,
    pub(super) long_complete: bool,
    pub(super) longest: usize,
    masked: Vec<u8>,
}

impl Default for Tokens {
    fn default() -> Self {
        let (set, masked) = (TokenSet::default(), Vec::new());
        Self { set, long: Vec::new(), long_complete: true, longest: 0, masked }
    }
}

impl Tokens {
    pub(crate) fn clear(&mut self) {
        self.set.clear();
        self.long.clear();
        (self.long_complete, self.longest) = (true, 0);
    }

    /// How many there are for a bloom.
    pub(crate) fn count(&self) -> usize {
        self.set.len
    }

    /// Every token of a text.
    #[inline]
    pub(crate) fn add_text(&mut self, text: &[u8]) {
        for (_, token) in tokens(text) {
            if token.len() >= MIN_TOKEN {
                self.add(token);
            }
        }
    }

    fn add(&mut self, token: &[u8]) {
        self.longest = self.longest.max(token.len());
        if self.set.insert(bloom::hash(token)) && token.len() > LONG_TOKEN {
            if self.long.len() + token.len() < MAX_LONG {
                self.long.extend_from_slice(token);
                self.long.push(b'\n');
            } else {
                self.long_complete = false;
            }
        }
    }

    /// The tokens of texts that differ from this one only in the digits, and are of at most `longest` bytes.
    pub(crate) fn add_masked(&mut self, text: &[u8], longest: usize) {
        for (_, token) in tokens(text) {
            if !token.iter().any(u8::is_ascii_digit) {
                if token.len() >= MIN_TOKEN {
                    self.add(token);
                }
                continue;
            }
            let most = token.len() + longest.saturating_sub(text.len());
            self.longest = self.longest.max(most);
            self.long_complete &= most <= LONG_TOKEN;
            let mut masked = std::mem::take(&mut self.masked);
            mask(token, &mut masked);
            self.set.insert(bloom::hash(&masked));
            self.masked = masked;
        }
    }

    /// The tokens of a template's text, whose slots have values of at most these lengths.
    pub(crate) fn add_template(&mut self, template: &[u8], longest: &[usize]) {
        if !template.contains(&DIGITS) {
            return self.add_text(template);
        }
        let (mut at, mut slot) = (0, 0);
        while at < template.len() {
            let joined = |byte: u8| is_token_byte(byte) || byte == DIGITS;
            if !joined(template[at]) {
                slot += usize::from(template[at] == SLOT);
                at += 1;
                continue;
            }
            let start = at;
            let mut most = 0;
            while at < template.len() && joined(template[at]) {
                most += match template[at] {
                    DIGITS => longest.get(slot).copied().unwrap_or(0),
                    _ => 1,
                };
                slot += usize::from(template[at] == DIGITS);
                at += 1;
            }
            let token = &template[start..at];
            if !token.contains(&DIGITS) {
                if token.len() >= MIN_TOKEN {
                    self.add(token);
                }
                continue;
            }
            self.longest = self.longest.max(most);
            self.long_complete &= most <= LONG_TOKEN;
            let mut masked = std::mem::take(&mut self.masked);
            mask(token, &mut masked);
            self.set.insert(bloom::hash(&masked));
            self.masked = masked;
        }
    }
}

/// A token with each run of digits replaced by [`MASK`].
pub(super) fn mask(token: &[u8], out: &mut Vec<u8>) {
    out.clear();
    for byte in token {
        match byte {
            b'0'..=b'9' | &MASK if out.last() == Some(&MASK) => {}
            b'0'..=b'9' => out.push(MASK),
            other => out.push(*other),
        }
    }
}

/// A set of hashes, cleared for each page.
#[derive(Debug)]
pub(in crate::segment) struct TokenSet {
    /// 0 is free; the hash 0 stands as 1.
    slots: Vec<u64>,
    pub(in crate::segment) len: usize,
}

impl Default for TokenSet {
    fn default() -> Self {
        Self { slots: vec![0; 1 << 15], len: 0 }
    }
}

impl TokenSet {
    /// Whether it was new.
    #[inline]
    pub(in crate::segment) fn insert(&mut self, hash: u64) -> bool {
        let hash = hash.max(1);
        let mask = self.slots.len() - 1;
        let mut at = usize::try_from(hash & mask as u64).unwrap_or(0);
        loop {
            match self.slots[at] {
                0 => break,
                known if known == hash => return false,
                _ => at = (at + 1) & mask,
            }
        }
        self.slots[at] = hash;
        self.len += 1;
        if self.len * 2 > self.slots.len() {
            self.grow();
        }
        true
    }

    fn grow(&mut self) {
        let bigger = vec![0; self.slots.len() * 2];
        let before = std::mem::replace(&mut self.slots, bigger);
        self.len = 0;
        for hash in before.into_iter().filter(|hash| *hash != 0) {
            self.insert(hash);
        }
    }

    pub(in crate::segment) fn iter(&self) -> impl Iterator<Item = u64> {
        self.slots.iter().copied().filter(|hash| *hash != 0)
    }

    pub(in crate::segment) fn clear(&mut self) {
        self.slots.fill(0);
        self.len = 0;
    }
}
