//! Tokens: what blooms know of a text. Letters, digits and non-ASCII bytes in a row, case kept.

/// Shorter tokens are in no bloom.
pub(crate) const MIN_TOKEN: usize = 3;

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let value = byte as u8;
        table[byte] = value.is_ascii_alphanumeric() || value >= 0x80;
        byte += 1;
    }
    table
};

/// Whether a byte belongs to a token.
#[inline]
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Whether a byte belongs to a word: a token byte or `_`. A whole word is therefore made of whole tokens.
pub(super) fn is_word_byte(byte: u8) -> bool {
    is_token_byte(byte) || byte == b'_'
}

/// Every token of a text, of any length, with its position.
pub(crate) fn tokens(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < text.len() && !is_token_byte(text[at]) {
            at += 1;
        }
        let start = at;
        while at < text.len() && is_token_byte(text[at]) {
            at += 1;
        }
        (at > start).then(|| (start, &text[start..at]))
    })
}
