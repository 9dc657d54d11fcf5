//! Tokens of SQL: words stay, literals become one token without their text, comments nothing.
//!
//! Where quoting can be read in two ways (a backslash before a quote, depending on a server's setting), and where a
//! quote has no end, nothing that follows is trusted: the rest is one literal.

use super::Dialect;

/// A piece of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword or a name without quotes.
    Word(&'a str),
    /// A name within quotes, without them.
    Name(&'a str),
    /// A literal or a parameter.
    Literal,
    /// Punctuation and operators, one at a time.
    Sign(char),
}

pub(super) struct Lexer<'a> {
    rest: &'a str,
    dialect: Dialect,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str, dialect: Dialect) -> Self {
        Self { rest: text, dialect }
    }

    /// The rest cannot be trusted.
    fn give_up(&mut self) -> Token<'a> {
        self.rest = "";
        Token::Literal
    }

    fn advance(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    /// Blanks and comments. A comment without an end takes the rest.
    fn skip_blank(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches(|next: char| next.is_whitespace() || next == '\0');
            if self.rest.starts_with("/*") {
                let end = comment_end(self.rest, self.dialect == Dialect::Postgres);
                self.advance(end);
            } else if is_line_comment(self.rest, self.dialect) {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.advance(end);
            } else {
                return;
            }
        }
    }

    /// A string that begins with a quote at `open`; `escapes` if a backslash certainly escapes.
    fn string(&mut self, open: usize, escapes: bool) -> Token<'a> {
        let bytes = self.rest.as_bytes();
        let Some(&quote) = bytes.get(open) else { return self.give_up() };
        let mut at = open + 1;
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'\\' if escapes => at += 2,
                // With another setting of the server this quote would be none.
                b'\\' if matches!(bytes.get(at + 1), Some(b'\'' | b'"')) => return self.give_up(),
                b'\\' if bytes.get(at + 1) == Some(&b'\\') => at += 2,
                _ if byte == quote && bytes.get(at + 1) == Some(&quote) => at += 2,
                _ if byte == quote => {
                    self.advance(at + 1);
                    return Token::Literal;
                }
                _ => at += 1,
            }
        }
        self.give_up()
    }

    fn quoted_name(&mut self, quote: char) -> Token<'a> {
        let inside = &self.rest[1..];
        let Some(end) = inside.find(quote) else { return self.give_up() };
        let name = &inside[..end];
        if inside[end + 1..].starts_with(quote) {
            // A quote within a name: nobody needs to read such a name.
            return self.string(0, false);
        }
        self.advance(end + 2);
        let plain = |next: char| next.is_alphanumeric() || "_-$.# ".contains(next);
        if name.len() <= 64
            && !name.is_empty()
            && name.chars().all(plain)
            && !name.starts_with(|first: char| first.is_ascii_digit())
        {
            Token::Name(name)
        } else {
            Token::Literal
        }
    }

    /// `$1`, `$$…$$`, `$tag$…$tag$`
    fn dollar(&mut self) -> Token<'a> {
        let inside = &self.rest[1..];
        let digits = inside.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            self.advance(1 + digits);
            return Token::Literal;
        }
        let is_tag = |next: char| next.is_alphanumeric() || next == '_';
        let tag = inside.find(|next| !is_tag(next)).unwrap_or(inside.len());
        if !inside[tag..].starts_with('$') {
            return self.give_up();
        }
        let (mark, body) = (&self.rest[..tag + 2], &inside[tag + 1..]);
        match body.find(mark) {
            Some(end) => {
                self.advance(mark.len() + end + mark.len());
                Token::Literal
            }
            None => self.give_up(),
        }
    }

    fn number(&mut self) -> Token<'a> {
        let bytes = self.rest.as_bytes();
        let mut end = 0;
        while let Some(&byte) = bytes.get(end) {
            let sign = matches!(byte, b'+' | b'-') && matches!(bytes[end.saturating_sub(1)], b'e' | b'E');
            if !(byte.is_ascii_alphanumeric()
                || byte == b'.'
                || byte == b'_'
                || byte >= 0x80
                || sign && end > 0)
            {
                break;
            }
            end += 1;
        }
        self.advance(end);
        Token::Literal
    }

    fn word(&mut self) -> Token<'a> {
        let end = self.rest.find(|next: char| !is_word(next)).unwrap_or(self.rest.len());
        let word = &self.rest[..end];
        // `E'…'`, `N'…'`, `x'…'`, `_utf8'…'`; `U&'…'` comes as a word and a sign.
        let prefix =
            word.starts_with('_') || ["e", "n", "b", "x"].iter().any(|one| word.eq_ignore_ascii_case(one));
        if prefix && self.rest[end..].starts_with('\'') {
            let escapes = self.dialect == Dialect::Postgres && word.eq_ignore_ascii_case("e");
            return self.string(end, escapes);
        }
        self.advance(end);
        // Longer than a name can be in either database.
        if word.len() > 64 { Token::Literal } else { Token::Word(word) }
    }
}

impl<'a> Iterator for Lexer<'a> {
    /// A token, and whether a blank or a comment stood before it.
    type Item = (Token<'a>, bool);

    fn next(&mut self) -> Option<Self::Item> {
        let before = self.rest.len();
        self.skip_blank();
        let blank = self.rest.len() < before;
        let first = self.rest.chars().next()?;
        let second = self.rest.as_bytes().get(1).copied().unwrap_or(0);
        let token = match first {
            '\'' => self.string(0, false),
            '"' if self.dialect == Dialect::Mysql => self.string(0, false),
            '"' => self.quoted_name('"'),
            '`' if self.dialect == Dialect::Mysql => self.quoted_name('`'),
            '$' if self.dialect == Dialect::Postgres => self.dollar(),
            '?' => {
                self.advance(1);
                Token::Literal
            }
            '.' if second.is_ascii_digit() => self.number(),
            _ if first.is_ascii_digit() => self.number(),
            _ if is_word(first) => self.word(),
            _ => {
                self.advance(first.len_utf8());
                Token::Sign(first)
            }
        };
        Some((token, blank))
    }
}

fn is_word(next: char) -> bool {
    next.is_alphanumeric() || matches!(next, '_' | '$' | '@')
}

fn is_line_comment(text: &str, dialect: Dialect) -> bool {
    match dialect {
        Dialect::Postgres => text.starts_with("--"),
        Dialect::Mysql => {
            let dashes = text.strip_prefix("--");
            let dashes = dashes.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
            dashes || text.starts_with('#')
        }
    }
}

/// Behind the comment that the text begins with; in PostgreSQL comments nest.
fn comment_end(text: &str, nests: bool) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (2, 1_usize);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            b"/*" if nests => {
                depth += 1;
                at += 2;
            }
            _ => at += 1,
        }
    }
    text.len()
}
