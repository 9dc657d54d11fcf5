//! A field of a line that is JSON or `key=value` words: where its value lies, by a scan that looks at no more than it must.
//!
//! The same scan reads a template, whose slots are bytes of their own: where its answer follows from the template's text,
//! every line of it has its value in the same place.

use std::borrow::Cow;
use std::ops::Range;

use crate::template::{DIGITS, SLOT};

/// How a line names its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldFormat {
    /// `{"user":"u17","took":12.5}`: the first key of the outermost object that is written like this.
    Json,
    /// `user=u17 took=12.5 msg="all done"`: the first such word.
    Logfmt,
}

/// Where a value lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Here; between quotes or not.
    Found {
        range: Range<usize>,
        quoted: bool,
    },
    Absent,
    /// That is not for the template alone to say.
    Unknown,
}

/// The value of a line's field: text without its quotes and escapes, anything else as it is written. `None` where there is
/// none, it is `null`, or what comes before it is not of this format; what comes after it does not matter.
#[must_use]
pub fn field<'a>(format: FieldFormat, line: &'a [u8], name: &str) -> Option<Cow<'a, [u8]>> {
    match place(format, line, name.as_bytes(), false) {
        Place::Found { range, quoted } => value(format, &line[range], quoted),
        Place::Absent | Place::Unknown => None,
    }
}

/// What a value says that is written like this.
pub(crate) fn value(format: FieldFormat, written: &[u8], quoted: bool) -> Option<Cow<'_, [u8]>> {
    if !quoted {
        let null = format == FieldFormat::Json && written == b"null";
        return (!null && !written.is_empty()).then_some(Cow::Borrowed(written));
    }
    if !written.contains(&b'\\') {
        return Some(Cow::Borrowed(written));
    }
    let whole = [b"\"", written, b"\""].concat();
    let text: Result<String, _> = serde_json::from_slice(&whole);
    Some(text.map_or_else(|_| Cow::Owned(written.to_vec()), |text| Cow::Owned(text.into_bytes())))
}

/// Where the value of a field lies in a line, or in a template if its marks stand for slots.
pub(crate) fn place(format: FieldFormat, text: &[u8], name: &[u8], marks: bool) -> Place {
    let mut scan = Scan { text, at: 0, marks };
    match format {
        FieldFormat::Json => scan.json(name),
        FieldFormat::Logfmt => scan.logfmt(name),
    }
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    marks: bool,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// What it means that something else was expected here.
    fn broken(&self) -> Place {
        if self.is_mark(self.at) { Place::Unknown } else { Place::Absent }
    }

    fn is_mark(&self, at: usize) -> bool {
        self.marks && self.text.get(at).is_some_and(|byte| matches!(*byte, SLOT | DIGITS))
    }

    fn has_mark(&self, range: Range<usize>) -> bool {
        range.into_iter().any(|at| self.is_mark(at))
    }

    /// From behind a quote to before the one that ends it.
    fn string(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.at += 1;
                    return Some(start..self.at - 1);
                }
                // what a slot begins with may be what is escaped
                b'\\' if self.is_mark(self.at + 1) => return None,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        None
    }

    fn json(&mut self, name: &[u8]) -> Place {
        self.space();
        if self.peek() != Some(b'{') {
            return self.broken();
        }
        self.at += 1;
        loop {
            self.space();
            if self.peek() == Some(b'}') {
                return Place::Absent;
            }
            if self.peek() != Some(b'"') {
                return self.broken();
            }
            self.at += 1;
            let Some(key) = self.string() else { return self.unended() };
            if self.has_mark(key.clone()) {
                return Place::Unknown;
            }
            self.space();
            if self.peek() != Some(b':') {
                return self.broken();
            }
            self.at += 1;
            self.space();
            let Some((range, quoted)) = self.json_value() else { return self.unended() };
            if self.text[key] == *name {
                return Place::Found { range, quoted };
            }
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => return Place::Absent,
                _ => return self.broken(),
            }
        }
    }

    /// Text that ends within a value: what a slot has might end it.
    fn unended(&self) -> Place {
        if self.marks { Place::Unknown } else { Place::Absent }
    }

    fn json_value(&mut self) -> Option<(Range<usize>, bool)> {
        let start = self.at;
        match self.peek()? {
            b'"' => {
                self.at += 1;
                self.string().map(|range| (range, true))
            }
            b'{' | b'[' => {
                let mut depth = 0_usize;
                loop {
                    match self.peek()? {
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth -= 1,
                        b'"' => {
                            self.at += 1;
                            self.string()?;
                            continue;
                        }
                        _ => {}
                    }
                    self.at += 1;
                    if depth == 0 {
                        return Some((start..self.at, false));
                    }
                }
            }
            _ => {
                while self
                    .peek()
                    .is_some_and(|byte| !matches!(byte, b',' | b'}' | b']') && !byte.is_ascii_whitespace())
                {
                    self.at += 1;
                }
                // a line that ends here lacks its brace, and may lack more
                self.peek().map(|_| (start..self.at, false))
            }
        }
    }

    fn logfmt(&mut self, name: &[u8]) -> Place {
        loop {
            self.space();
            let start = self.at;
            while self.peek().is_some_and(|byte| byte != b'=' && !byte.is_ascii_whitespace()) {
                self.at += 1;
            }
            let key = start..self.at;
            match self.peek() {
                None if self.has_mark(key.clone()) => return Place::Unknown,
                None => return Place::Absent,
                // a slot here may have spaces and signs
                Some(_) if self.has_mark(key.clone()) => return Place::Unknown,
                Some(b'=') => self.at += 1,
                Some(_) => continue,
            }
            let quoted = self.peek() == Some(b'"');
            let range = if quoted {
                self.at += 1;
                match self.string() {
                    Some(range) => range,
                    None => return self.unended(),
                }
            } else {
                let start = self.at;
                while self.peek().is_some_and(|byte| !byte.is_ascii_whitespace()) {
                    self.at += 1;
                }
                start..self.at
            };
            if self.text[key] == *name {
                return Place::Found { range, quoted };
            }
        }
    }
}

/// Whether a byte may stand in a slot and leave everything where it is: in a string, or outside of one.
pub(crate) fn is_inert(format: FieldFormat, byte: u8, in_string: bool) -> bool {
    match (format, in_string) {
        (_, true) => !matches!(byte, b'"' | b'\\'),
        (FieldFormat::Json, false) => {
            byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_')
        }
        (FieldFormat::Logfmt, false) => !matches!(byte, b'"') && !byte.is_ascii_whitespace(),
    }
}

#[cfg(test)]
mod tests {
    use super::{FieldFormat, field};

    #[track_caller]
    fn check(format: FieldFormat, line: &str, name: &str, expected: Option<&str>) {
        let found = field(format, line.as_bytes(), name);
        assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{name} of {line}");
    }

    #[test]
    fn fields_of_json_are_found_where_a_parser_finds_them() {
        let line = r#" {"a":1.50, "user" : "u\"17", "in":{"user":"x","l":[1,"]}"]},"t":true,"n":null,"e":"","z":"\u00e9"}"#;
        for (name, expected) in [
            ("a", Some("1.50")),
            ("user", Some("u\"17")),
            ("in", Some(r#"{"user":"x","l":[1,"]}"]}"#)),
            ("t", Some("true")),
            ("n", None),
            ("e", Some("")),
            ("z", Some("\u{e9}")),
            ("l", None),
        ] {
            check(FieldFormat::Json, line, name, expected);
        }
        for broken in
            ["", "a", "[1]", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"b\" 1,\"a\":2}", "{a:1}", "{\"a\":\"x"]
        {
            check(FieldFormat::Json, broken, "a", None);
        }
    }

    #[test]
    fn fields_of_words_are_found() {
        let line = "level=info msg=\"user=u1 \\\"x\\\" done\" took=12ms user=u17 empty= flag";
        for (name, expected) in [
            ("level", Some("info")),
            ("msg", Some("user=u1 \"x\" done")),
            ("user", Some("u17")),
            ("took", Some("12ms")),
            ("empty", None),
            ("flag", None),
            ("evel", None),
        ] {
            check(FieldFormat::Logfmt, line, name, expected);
        }
    }
}
