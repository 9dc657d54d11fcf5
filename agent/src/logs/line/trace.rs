//! Trace and span ids, where a line carries them cleanly: as `trace_id`, `span_id` or `traceparent` with a value of
//! the right length in hex, in JSON, logfmt or text.

use std::sync::LazyLock;

use memchr::memmem::Finder;

static TRACE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("race"));
static SPAN: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("pan"));

/// How many candidates in a line are looked at.
const CANDIDATES: usize = 16;

/// What a line says about its trace; empty where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TraceContext {
    /// 32 hex digits.
    pub(crate) trace_id: String,
    /// 16 hex digits.
    pub(crate) span_id: String,
}

pub(crate) fn of_line(line: &[u8]) -> TraceContext {
    for at in TRACE.find_iter(line).take(CANDIDATES) {
        let Some(rest) = behind_first_letter(line, at, b't', 4) else { continue };
        if let Some(found) = traceparent(rest) {
            return found;
        }
        if let Some(trace_id) = id(rest, 32) {
            return TraceContext { trace_id, span_id: span_id(line) };
        }
    }
    TraceContext::default()
}

fn span_id(line: &[u8]) -> String {
    let spans = SPAN.find_iter(line).take(CANDIDATES);
    let found = spans.filter_map(|at| id(behind_first_letter(line, at, b's', 3)?, 16)).next();
    found.unwrap_or_default()
}

/// What follows the word whose letters but the first stand at `at`, if the first is there and begins a word.
fn behind_first_letter(line: &[u8], at: usize, letter: u8, length: usize) -> Option<&[u8]> {
    let first = line[..at].last()?;
    let before = at.checked_sub(2).map(|before| line[before]);
    let begins = before.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    (first.eq_ignore_ascii_case(&letter) && begins).then(|| &line[at + length..])
}

/// `_id`, `.id`, `Id` and so on, then the value.
fn id(rest: &[u8], length: usize) -> Option<String> {
    let rest = match rest.first()? {
        b'_' | b'.' | b'-' => &rest[1..],
        _ => rest,
    };
    rest.get(..2)?.eq_ignore_ascii_case(b"id").then_some(())?;
    let value = value(&rest[2..])?;
    let (digits, behind) = value.split_at_checked(length)?;
    let ends = behind.first().is_none_or(|byte| !byte.is_ascii_alphanumeric() && !b"-_".contains(byte));
    (ends && is_id(digits)).then(|| lower(digits))
}

/// `parent="00-<32 hex>-<16 hex>-01"`
fn traceparent(rest: &[u8]) -> Option<TraceContext> {
    let rest = rest.get(..6)?.eq_ignore_ascii_case(b"parent").then(|| &rest[6..])?;
    let value = value(rest)?.get(..55)?;
    let dashes = [value[2], value[35], value[52]];
    let (trace, span) = (&value[3..35], &value[36..52]);
    (dashes == [b'-'; 3] && value[..2].iter().all(u8::is_ascii_hexdigit) && is_id(trace) && is_id(span))
        .then(|| TraceContext { trace_id: lower(trace), span_id: lower(span) })
}

/// Behind an optional closing quote, `=` or `:`, and an optional opening quote (which may be escaped).
fn value(rest: &[u8]) -> Option<&[u8]> {
    let unquote =
        |text: &[u8]| text.iter().take_while(|byte| matches!(byte, b'"' | b'\'' | b'\\' | b' ')).count();
    let rest = &rest[unquote(rest)..];
    let (b'=' | b':', rest) = rest.split_first()? else { return None };
    Some(&rest[unquote(rest)..])
}

fn is_id(digits: &[u8]) -> bool {
    digits.iter().all(u8::is_ascii_hexdigit) && digits.iter().any(|&digit| digit != b'0')
}

fn lower(digits: &[u8]) -> String {
    digits.iter().map(|digit| char::from(digit.to_ascii_lowercase())).collect()
}

#[cfg(test)]
mod tests {
    use super::{TraceContext, of_line};

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[track_caller]
    fn check(line: &str, trace_id: &str, span_id: &str) {
        let expected = TraceContext { trace_id: trace_id.to_owned(), span_id: span_id.to_owned() };
        assert_eq!(of_line(line.as_bytes()), expected, "{line}");
    }

    #[test]
    fn ids_in_json_logfmt_and_text() {
        check(&format!(r#"{{"trace_id":"{TRACE}","span_id":"{SPAN}"}}"#), TRACE, SPAN);
        check(&format!(r#"{{"spanId": "{SPAN}", "traceId": "{}"}}"#, TRACE.to_uppercase()), TRACE, SPAN);
        check(&format!("msg=x trace_id={TRACE} span.id={SPAN}"), TRACE, SPAN);
        check(&format!("traceID={TRACE}"), TRACE, "");
        check(&format!("[trace-id: {TRACE}] x"), TRACE, "");
        check(&format!("traceparent: 00-{TRACE}-{SPAN}-01"), TRACE, SPAN);
        check(&format!(r#"{{\"trace_id\":\"{TRACE}\"}}"#), TRACE, "");
    }

    #[test]
    fn nothing_that_only_looks_like_one() {
        for line in [
            "trace",
            "trace_id=",
            "trace_id=abc",
            "stacktrace_id",
            "span_id=00f067aa0ba902b7",
            "trace_id=00000000000000000000000000000000",
            "trace_id=4bf92f3577b34da6a3ce929d0e0e47360",
            "trace_id=4bf92f3577b34da6a3ce929d0e0e473g",
            "retrace_id=4bf92f3577b34da6a3ce929d0e0e4736",
            "traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "trace_id 4bf92f3577b34da6a3ce929d0e0e4736",
        ] {
            check(line, "", "");
        }
    }
}
