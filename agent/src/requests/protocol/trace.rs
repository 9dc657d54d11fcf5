//! The trace that an application names in its own request: W3C `traceparent`, and request ids.

use super::TraceContext;

/// The `traceparent` in the head of an HTTP/1 request, before the whole head was decoded.
pub(super) fn said(head: &[u8]) -> Option<TraceContext> {
    const NAME: &[u8] = b"traceparent:";
    // by its lines: every request is looked through
    let behind = |end: usize| head.get(end + 1..).unwrap_or_default();
    let is_named = |line: &&[u8]| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME));
    let line = memchr::memchr_iter(b'\n', head).map(behind).find(is_named)?;
    let value = line.get(NAME.len()..)?;
    parent(value.split(|byte| *byte == b'\n').next()?)
}

/// Reads `00-<32 hex>-<16 hex>-<2 hex>`; later versions may have more behind it.
pub(super) fn parent(value: &[u8]) -> Option<TraceContext> {
    let value = value.trim_ascii();
    let (version, rest) = (value.get(..3)?, value.get(3..)?);
    let version = <[u8; 1]>::try_from(hex(version.strip_suffix(b"-")?)?.as_slice()).ok()?;
    let more = rest.get(52..)?;
    let fits = match version {
        [0xff] => false,
        [0] => more.is_empty(),
        _ => more.is_empty() || more.starts_with(b"-"),
    };
    if !fits || rest.get(32) != Some(&b'-') || rest.get(49) != Some(&b'-') {
        return None;
    }
    let trace_id = <[u8; 16]>::try_from(hex(rest.get(..32)?)?).ok()?;
    let span_id = <[u8; 8]>::try_from(hex(rest.get(33..49)?)?).ok()?;
    let flags = *hex(rest.get(50..52)?)?.first()?;
    if trace_id == [0; 16] || span_id == [0; 8] {
        return None;
    }
    Some(TraceContext { trace_id, span_id, sampled: flags & 1 == 1 })
}

/// An id of a request as proxies write it: short, and without anything that such an id does not need.
pub(super) fn request_id(value: &[u8]) -> Option<&str> {
    let value = value.trim_ascii();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:=+/".contains(byte);
    if value.is_empty() || value.len() > 128 || !value.iter().all(plain) {
        return None;
    }
    str::from_utf8(value).ok()
}

/// Lower-case hexadecimal digits only, as the specification has it.
fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::{parent, request_id, said};

    #[test]
    fn a_header_names_trace_and_span() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nTraceParent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n";
        let found = said(head).unwrap();
        assert_eq!((found.trace_id[0], found.span_id[7], found.sampled), (0x4b, 0xb7, true));
        assert!(said(&head[..80]).is_none(), "cut");
        assert!(said(b"GET / HTTP/1.1\r\ntraceparent: 00-zz\r\n\r\n").is_none());
        assert!(said(b"GET / HTTP/1.1\r\ntrace: 1\r\n\r\n").is_none());
    }

    #[test]
    fn only_what_the_specification_allows_is_a_parent() {
        let good = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = parent(good).unwrap();
        assert_eq!((context.trace_id[0], context.span_id[7], context.sampled), (0x4b, 0xb7, true));
        assert!(parent(b" cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-later").is_some());
        for bad in [
            &b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"[..],
            b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            b"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            b"00-4bf92f3577b34da6a3ce929d0e0e4736x00f067aa0ba902b7-01",
            b"",
        ] {
            assert_eq!(parent(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn an_id_is_short_and_plain() {
        assert_eq!(request_id(b" 7f3c-11 "), Some("7f3c-11"));
        assert_eq!(request_id(b"a b"), None);
        assert_eq!(request_id(&[b'a'; 129]), None);
    }
}
