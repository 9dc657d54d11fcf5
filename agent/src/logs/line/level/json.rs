//! The level of a JSON line: the top-level member that is named for it, found without parsing the rest.

use super::Level;

/// How far into the object its members are looked at.
const REACH: usize = 4096;

/// The first top-level member with a level's name decides.
pub(super) fn level(line: &[u8]) -> Option<Level> {
    let line = &line[..line.len().min(REACH)];
    let mut at = 1;
    let mut depth = 1_u32;
    loop {
        at += memchr::memchr3(b'"', b'{', b'}', &line[at..])?;
        match line[at] {
            b'{' => depth += 1,
            b'}' => depth = depth.checked_sub(1)?,
            _ => {
                let end = string_end(line, at + 1)?;
                let name = &line[at + 1..end];
                let value = skip_space(line, end + 1);
                if line.get(value) == Some(&b':') {
                    let value = skip_space(line, value + 1);
                    if depth == 1 && is_level(name) {
                        return parse(line.get(value..)?);
                    }
                    at = value;
                    if line.get(at) == Some(&b'"') {
                        at = string_end(line, at + 1)? + 1;
                    }
                } else {
                    at = end + 1;
                }
                continue;
            }
        }
        at += 1;
    }
}

fn is_level(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 9] = [
        b"level",
        b"severity",
        b"lvl",
        b"loglevel",
        b"log.level",
        b"levelname",
        b"@level",
        b"severity_text",
        b"log_level",
    ];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn parse(value: &[u8]) -> Option<Level> {
    if let Some(text) = value.strip_prefix(b"\"") {
        let length = text.iter().take(14).position(|&byte| byte == b'"')?;
        return Level::of_name(&text[..length]);
    }
    let length = value.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
    Level::of_number(std::str::from_utf8(&value[..length]).ok()?.parse().ok()?)
}

/// Index of the quote that ends the string which begins at `from`.
fn string_end(line: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr::memchr2(b'"', b'\\', line.get(at..)?)?;
        if line[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

fn skip_space(line: &[u8], from: usize) -> usize {
    let rest = line.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}
