//! Which lines continue a record: one set of rules for all languages.
//!
//! 1. A line that is indented deeper than the record's first one continues it, unless behind its indentation it begins
//!    with a time or a level; so does a closing bracket alone behind indented lines.
//! 2. A trace begins with its language's own first line (Java's exception, Python's `Traceback`, Go's `panic:` or
//!    `goroutine`, Rust's `thread '..' panicked`). Directly behind a line of a logger that may tell of an error (a level
//!    above info, or a time and no level) it continues that line's record.
//! 3. Within a trace the lines that its language writes without indentation continue it: `Caused by:`, the exception
//!    that ends a Python traceback and what chains it to another, Go's functions, goroutines and registers, Rust's
//!    message and notes; blank lines only where the language has them there.
//!
//! Everything else begins a record. Pure, and a fixed number of looks at a line.

use crate::logs::line::level::{self, Level};
use crate::logs::line::time;

/// What a record looks like so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Shape {
    /// No trace.
    #[default]
    Plain,
    /// No trace, with indented lines.
    Nested,
    /// An exception as Java writes it; frames follow.
    Exception,
    /// Below a traceback's first line.
    PythonFrames,
    /// Behind the exception that ends it.
    PythonEnded,
    /// Behind a blank line behind that.
    PythonBlank,
    /// Behind the sentence that chains two tracebacks.
    PythonLink,
    /// Behind `panic:` and its like.
    GoHead,
    /// Behind a goroutine's first line, or a frame.
    GoFrames,
    /// Behind a frame's function: its place follows.
    GoFunction,
    /// Behind a blank line.
    GoBlank,
    /// In the list of registers.
    GoRegisters,
    /// The message follows.
    RustHead,
    /// Behind the message.
    RustBody,
}

const TRACEBACK: &[u8] = b"Traceback (most recent call last):";
const GROUP_TRACEBACK: &[u8] = b"+ Exception Group Traceback (most recent call last):";

impl Shape {
    /// Of a record with this line alone.
    pub(super) fn of_first(line: &[u8]) -> Self {
        let text = line.trim_ascii_start();
        let begins = |with: &[u8]| text.starts_with(with);
        match text.first() {
            Some(b'T') if begins(TRACEBACK) => Self::PythonFrames,
            Some(b'+') if begins(GROUP_TRACEBACK) => Self::PythonFrames,
            Some(b'F') if begins(b"File \"") && text.len() < line.len() => Self::PythonFrames,
            Some(b'g') if is_goroutine(text) => Self::GoFrames,
            Some(b'p' | b'f' | b'r' | b'u' | b'S') if is_go_head(text) => Self::GoHead,
            Some(b't') if begins(b"thread '") => rust_panic(text).unwrap_or_default(),
            Some(b'E') if begins(b"Exception in thread \"") => Self::Exception,
            Some(_) if is_exception(text) => Self::Exception,
            Some(_) if ends_in_goroutine(text) => Self::GoFrames,
            _ => Self::Plain,
        }
    }

    /// What the record is with this line as well; `None` when the line begins another.
    pub(super) fn next(self, first: &[u8], line: &[u8]) -> Option<Self> {
        let text = line.trim_ascii_start();
        if text.is_empty() {
            return self.behind_blank();
        }
        let indent = line.len() - text.len();
        if indent == 0 {
            return self.behind_unindented(first, line);
        }
        let is_deeper = indent > indent_of(first) || first.trim_ascii_start().starts_with(GROUP_TRACEBACK);
        (is_deeper && !begins_record(text)).then(|| self.behind_indented())
    }

    fn behind_blank(self) -> Option<Self> {
        match self {
            Self::PythonEnded => Some(Self::PythonBlank),
            Self::PythonLink => Some(Self::PythonLink),
            Self::GoHead | Self::GoFrames | Self::GoFunction => Some(Self::GoBlank),
            _ => None,
        }
    }

    fn behind_indented(self) -> Self {
        match self {
            Self::Plain => Self::Nested,
            Self::PythonBlank | Self::PythonLink => Self::PythonEnded,
            Self::GoFunction | Self::GoBlank => Self::GoFrames,
            Self::RustHead => Self::RustBody,
            other => other,
        }
    }

    fn behind_unindented(self, first: &[u8], line: &[u8]) -> Option<Self> {
        let begins = |with: &[u8]| line.starts_with(with);
        let own = match self {
            Self::PythonFrames if is_python_exception(line) => Some(Self::PythonEnded),
            Self::PythonBlank
                if begins(b"During handling of the above exception")
                    || begins(b"The above exception was the direct cause") =>
            {
                Some(Self::PythonLink)
            }
            Self::PythonLink if begins(TRACEBACK) => Some(Self::PythonFrames),
            Self::GoHead if begins(b"[signal ") || begins(b"PC=0x") || is_go_head(line) => Some(Self::GoHead),
            Self::GoFrames if is_go_function(line) => Some(Self::GoFunction),
            Self::GoFrames if begins(b"...") || begins(b"exit status ") => Some(Self::GoFrames),
            Self::GoBlank if begins(b"runtime stack:") => Some(Self::GoFrames),
            Self::GoBlank | Self::GoRegisters if is_register(line) => Some(Self::GoRegisters),
            Self::GoBlank if begins(b"exit status ") => Some(Self::GoBlank),
            Self::GoHead | Self::GoBlank | Self::GoFrames if is_goroutine(line) => Some(Self::GoFrames),
            Self::RustHead if !begins_record(line) => Some(Self::RustBody),
            Self::RustBody if begins(b"note: ") || begins(b"stack backtrace:") => Some(Self::RustBody),
            Self::Exception if begins(b"at ") || begins(b"... ") => Some(Self::Exception),
            Self::Nested if is_closing(line) => Some(Self::Nested),
            _ => None,
        };
        own.or_else(|| match line.first()? {
            b'C' if begins(b"Caused by: ") => Some(Self::Exception),
            b'S' if begins(b"Suppressed: ") => Some(Self::Exception),
            b'W' if begins(b"Wrapped by: ") => Some(Self::Exception),
            b'T' if self == Self::Plain && begins(TRACEBACK) => {
                is_of_logger(first).then_some(Self::PythonFrames)
            }
            b'g' if self == Self::Plain && is_goroutine(line) => {
                is_of_logger(first).then_some(Self::GoFrames)
            }
            _ if self == Self::Plain && is_exception(line) => is_of_logger(first).then_some(Self::Exception),
            _ => None,
        })
    }
}

fn indent_of(line: &[u8]) -> usize {
    line.len() - line.trim_ascii_start().len()
}

/// A logger's line that may tell of an error: it has a level above info, or a time and no level.
fn is_of_logger(line: &[u8]) -> bool {
    level::of_line(line).map_or_else(|| time::is_dated(line), |level| level >= Level::Warn)
}

/// Behind its indentation: a time, or a level as the first word.
fn begins_record(text: &[u8]) -> bool {
    time::is_dated(text) || level::begins(text)
}

fn is_closing(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    line.len() <= 4 && line.iter().all(|byte| b"}]),;".contains(byte))
}

/// `java.lang.IllegalStateException: message`: a dotted name that says what it is, and nothing else before the colon.
fn is_exception(line: &[u8]) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"._$/".contains(byte);
    let (name, rest) = line.split_at(line.iter().take_while(|byte| is_name(byte)).count());
    let ends = [&b"Exception"[..], b"Error", b"Throwable"].iter().any(|end| name.ends_with(end));
    let is_alone = rest.is_empty() || rest.starts_with(b": ") || rest == b":";
    ends && is_alone && name.contains(&b'.') && name[0].is_ascii_alphabetic()
}

/// `ValueError: message` or `KeyboardInterrupt`.
fn is_python_exception(line: &[u8]) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"._".contains(byte);
    let (name, rest) = line.split_at(line.iter().take_while(|byte| is_name(byte)).count());
    let begins = name.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
    begins && (rest.is_empty() || rest.starts_with(b": ") || rest == b":")
}

fn is_go_head(line: &[u8]) -> bool {
    const HEADS: [&[u8]; 5] = [
        b"panic: ",
        b"fatal error: ",
        b"runtime: goroutine stack",
        b"runtime: sp=",
        b"unexpected fault address ",
    ];
    HEADS.iter().any(|head| line.starts_with(head)) || is_go_signal(line)
}

/// `SIGQUIT: quit`
fn is_go_signal(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"SIG") else { return false };
    let length = rest.iter().take_while(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()).count();
    length > 0 && rest[length..].starts_with(b": ")
}

/// `goroutine 18 [chan receive, 2 minutes]:`
fn is_goroutine(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"goroutine ") else { return false };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    // newer ones have gp=.. m=.. before the state
    digits > 0 && rest.trim_ascii_end().ends_with(b"]:") && rest[digits..].contains(&b'[')
}

/// `2026/11/21 13:24:59 stack: goroutine 18 [running]:`, as loggers write a stack behind their own words.
fn ends_in_goroutine(line: &[u8]) -> bool {
    let begin = || memchr::memmem::rfind(line, b" goroutine ").map_or(0, |at| at + 1);
    line.ends_with(b"]:") && is_goroutine(&line[begin()..])
}

/// `net/http.(*conn).serve(0xc000, {0x1, 0x2})` or `created by main.main in goroutine 1`.
fn is_go_function(line: &[u8]) -> bool {
    if line.starts_with(b"created by ") {
        return true;
    }
    let name = line.iter().take_while(|byte| !matches!(byte, b'(' | b' ')).count();
    name > 0 && line.get(name) == Some(&b'(') && line.ends_with(b")")
}

/// `rax    0x0`
fn is_register(line: &[u8]) -> bool {
    let name = line.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let rest = line[name..].trim_ascii_start();
    (2..=6).contains(&name)
        && rest.len() + name < line.len()
        && rest.starts_with(b"0x")
        && !rest.contains(&b' ')
}

/// `thread 'main' panicked at src/main.rs:2:5:`; older ones have the message in the same line.
fn rust_panic(line: &[u8]) -> Option<Shape> {
    memchr::memmem::find(line, b" panicked at ")?;
    Some(if line.ends_with(b":") { Shape::RustHead } else { Shape::RustBody })
}
