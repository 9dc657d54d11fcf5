//! The severity that a line states, conservatively: JSON and logfmt fields, klog and syslog prefixes, marked words.
//!
//! Nothing is guessed from the text of the message itself: only its first words, and only as they are written for it.

mod json;

/// How far into a line a level is looked for.
const REACH: usize = 256;
/// How many words may stand before one that states the level.
const WORDS: usize = 8;

/// Severity, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

impl Level {
    /// The name in rows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }

    /// A syslog severity: 0 emergency to 7 debug.
    pub(crate) fn of_syslog(severity: u8) -> Option<Self> {
        match severity {
            0..=2 => Some(Self::Fatal),
            3 => Some(Self::Error),
            4 => Some(Self::Warn),
            5 | 6 => Some(Self::Info),
            7 => Some(Self::Debug),
            _ => None,
        }
    }

    /// A number as pino and bunyan write it.
    fn of_number(number: u32) -> Option<Self> {
        match number {
            10 => Some(Self::Trace),
            20 => Some(Self::Debug),
            30 => Some(Self::Info),
            40 => Some(Self::Warn),
            50 => Some(Self::Error),
            60 => Some(Self::Fatal),
            _ => None,
        }
    }

    /// A level's name in any case.
    fn of_name(name: &[u8]) -> Option<Self> {
        let mut lower = [0; 13];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        match &*lower {
            b"trace" | b"finest" => Some(Self::Trace),
            b"debug" | b"dbg" => Some(Self::Debug),
            b"info" | b"information" | b"informational" | b"notice" => Some(Self::Info),
            b"warn" | b"warning" | b"wrn" => Some(Self::Warn),
            b"error" | b"err" | b"severe" => Some(Self::Error),
            b"fatal" | b"critical" | b"crit" | b"panic" | b"emerg" | b"emergency" | b"alert" => {
                Some(Self::Fatal)
            }
            _ => None,
        }
    }
}

/// The level that this line states, if any.
pub(crate) fn of_line(line: &[u8]) -> Option<Level> {
    match line.first()? {
        b'{' => return json::level(line),
        b'<' => {
            if let Some(severity) = priority(line) {
                return Level::of_syslog(severity % 8);
            }
        }
        b'I' | b'W' | b'E' | b'F' => {
            if let Some(level) = klog(line) {
                return Some(level);
            }
        }
        _ => {}
    }
    let reach = &line[..line.len().min(REACH)];
    field(reach).or_else(|| word(reach))
}

/// Whether the text begins with a level's name in capitals, bare or in brackets.
pub(crate) fn begins(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"[").unwrap_or(text);
    let length = text.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    let ends = text.get(length).is_none_or(|byte| b" \t]:,|".contains(byte));
    length >= 3 && ends && Level::of_name(&text[..length]).is_some()
}

/// `<134>` at the beginning.
fn priority(line: &[u8]) -> Option<u8> {
    let rest = line.strip_prefix(b"<")?;
    let end = rest.iter().take(4).position(|&byte| byte == b'>')?;
    let number: u8 = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    (number < 192).then_some(number)
}

/// `E1121 13:24:59.123456`
fn klog(line: &[u8]) -> Option<Level> {
    let shape = line.get(1..8)?;
    let fits = shape[..4].iter().all(u8::is_ascii_digit)
        && shape[4] == b' '
        && shape[5..].iter().all(u8::is_ascii_digit);
    fits.then_some(())?;
    match line[0] {
        b'I' => Some(Level::Info),
        b'W' => Some(Level::Warn),
        b'E' => Some(Level::Error),
        _ => Some(Level::Fatal),
    }
}

/// `level=info`, `lvl=`, `severity=` as a logfmt field.
fn field(reach: &[u8]) -> Option<Level> {
    for equals in memchr::memchr_iter(b'=', reach) {
        let key = &reach[..equals];
        let key = &key[memchr::memrchr2(b' ', b'\t', key).map_or(0, |at| at + 1)..];
        if matches!(key, b"level" | b"lvl" | b"severity" | b"loglevel") {
            let value = &reach[equals + 1..];
            let value = value.strip_prefix(b"\"").unwrap_or(value);
            let length = value.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
            return Level::of_name(&value[..length]);
        }
    }
    None
}

/// One of the first words, written as a level: capitals, or in brackets, or the first word before a colon.
fn word(reach: &[u8]) -> Option<Level> {
    let words = reach.split(|byte| matches!(byte, b' ' | b'\t' | b'|')).filter(|word| !word.is_empty());
    for (index, word) in words.take(WORDS).enumerate() {
        let bracketed = matches!(word.first(), Some(b'[' | b'<' | b'('));
        let before_colon = word.ends_with(b":");
        let name =
            word.strip_prefix(b"[").or_else(|| word.strip_prefix(b"<")).or_else(|| word.strip_prefix(b"("));
        let name = name.unwrap_or(word);
        let length = name.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let (name, behind) = name.split_at(length);
        if name.len() < 3 || !behind.iter().all(|byte| b"]>):,;".contains(byte)) {
            continue;
        }
        let capitals = name.iter().all(u8::is_ascii_uppercase);
        let closed = bracketed && matches!(behind.first(), Some(b']' | b'>' | b')'));
        if (capitals || closed || (index == 0 && before_colon))
            && let Some(level) = Level::of_name(name)
        {
            return Some(level);
        }
        // postgres writes LOG for what others call info
        if name == b"LOG" && before_colon {
            return Some(Level::Info);
        }
    }
    None
}

#[cfg(test)]
mod tests;
