//! Statements without what was in them: every literal is `?`, lists of them are one, comments are gone.
//!
//! In: SQL as a client sent it, maybe cut. Out: `db.query.text`, `db.query.summary`, `db.operation.name`.
//! Nothing that was within quotes of a string, no number and no parameter leaves; where the quoting is in doubt the rest
//! of the statement is left out. Names of tables and columns stay.

mod lexer;
pub(super) mod recent;
pub(super) mod statements;
mod summary;

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::{Exchange, TraceContext, trace as context};
use lexer::{Lexer, Token};
use summary::Summary;

/// Bytes of a normalised statement.
const MAX_TEXT: usize = 1_024;
/// Bytes of a statement that are read.
pub(super) const MAX_SQL: usize = 8 * 1_024;

/// Whose SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Postgres,
    Mysql,
}

/// The trace that a statement's comment names, as sqlcommenter writes it: `traceparent='…'`.
pub(super) fn trace(sql: &[u8]) -> Option<TraceContext> {
    const KEY: &[u8] = b"traceparent='";
    static FINDER: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(KEY));
    let sql = &sql[..sql.len().min(MAX_SQL)];
    let at = FINDER.find(sql)? + KEY.len();
    context::parent(sql.get(at..at + 55)?)
}

/// What of a statement may be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) text: String,
    pub(super) summary: String,
    pub(super) operation: Option<String>,
    /// Its end was not seen.
    pub(super) cut: bool,
}

impl Statement {
    /// Reads a statement.
    pub(super) fn read(sql: &[u8], dialect: Dialect, cut: bool) -> Self {
        let end = memchr::memchr(0, sql).unwrap_or(sql.len());
        let cut = cut || end > MAX_SQL;
        let sql = String::from_utf8_lossy(&sql[..end.min(MAX_SQL)]);
        let mut text = Text { out: String::with_capacity(sql.len().min(MAX_TEXT)), ..Text::default() };
        let mut summary = Summary::new();
        let mut tokens = Lexer::new(&sql, dialect).peekable();
        while let Some((token, blank)) = tokens.next() {
            // The last word of a cut statement may be the beginning of anything, a number's too.
            if cut && tokens.peek().is_none() && !matches!(token, Token::Sign(_)) {
                text.take(Token::Literal, blank);
                break;
            }
            text.take(token, blank);
            summary.take(token);
        }
        let (operation, summary) = summary.finish();
        Self { text: text.finish(), summary, operation, cut }
    }

    /// Puts it into an exchange.
    pub(super) fn describe(&self, exchange: &mut Exchange) {
        let Self { text, summary, operation, cut } = self;
        if let Some(operation) = operation {
            exchange.attributes.push("db.operation.name", operation);
        }
        if !summary.is_empty() {
            exchange.attributes.push("db.query.summary", summary);
            exchange.name.clone_from(summary);
        }
        if !text.is_empty() {
            exchange.attributes.push("db.query.text", text);
        }
        exchange.truncated |= cut;
    }
}

/// The text of a statement, put together again.
#[derive(Default)]
struct Text {
    out: String,
    full: bool,
    /// Within a parenthesis that has had literals alone.
    in_list: bool,
    /// Literals in it.
    literals: usize,
    /// A comma in it that is written only if something else than a literal follows.
    comma: bool,
    /// Where such a list ended, if only a comma came since.
    after: Option<usize>,
}

impl Text {
    fn take(&mut self, token: Token<'_>, blank: bool) {
        let mut buffer = [0; 4];
        match token {
            Token::Literal => {
                self.literals += 1;
                if self.in_list && self.literals > 1 {
                    // `?, ?, ?` is `?`
                    return;
                }
                if !self.in_list {
                    self.after = None;
                }
                self.put("?", blank);
            }
            Token::Sign(',') if self.in_list && self.literals > 0 => self.comma = true,
            Token::Sign(',') => self.put(",", false),
            Token::Sign('(') => {
                self.put("(", blank);
                (self.in_list, self.literals, self.comma) = (true, 0, false);
            }
            Token::Sign(')') => {
                self.put(")", false);
                let list = std::mem::take(&mut self.in_list) && self.literals > 0;
                match self.after {
                    // `(?), (?)` is `(?)`
                    Some(end) if list => self.out.truncate(end),
                    _ => self.after = list.then_some(self.out.len()),
                }
            }
            Token::Sign(sign) => self.other(sign.encode_utf8(&mut buffer), blank),
            Token::Word(word) | Token::Name(word) => self.other(word, blank),
        }
    }

    fn other(&mut self, text: &str, blank: bool) {
        if self.in_list && self.comma {
            self.put(",", false);
        }
        (self.in_list, self.after, self.comma) = (false, None, false);
        self.put(text, blank);
    }

    fn put(&mut self, text: &str, blank: bool) {
        let blank = blank && !self.out.is_empty() && !self.out.ends_with('(');
        self.full |= self.out.len() + text.len() + usize::from(blank) > MAX_TEXT;
        if self.full {
            return;
        }
        if blank {
            self.out.push(' ');
        }
        self.out.push_str(text);
    }

    fn finish(mut self) -> String {
        while self.out.ends_with([';', ' ']) {
            self.out.pop();
        }
        // of some statements little is left, and they are kept
        if self.out.capacity() > 2 * self.out.len() {
            self.out.shrink_to_fit();
        }
        self.out
    }
}

#[cfg(test)]
mod tests;
