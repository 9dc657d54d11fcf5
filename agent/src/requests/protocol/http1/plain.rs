//! Heads as nearly all are, in one pass: lines that end with CR and LF, none of them folded.
//!
//! Only the headers that somebody asks for are looked at: to check the names and values of all, as `httparse` does, took a
//! sixth of what was done for a span. What is in any other form is left to it; but another header may be none.

/// Headers of one head; what has more is left to `httparse`.
const MAX_HEADERS: usize = 64;
/// How many are asked for.
const MOST: usize = 6;

const HOST: &str = "host";
const TRACE: &str = "traceparent";
const REQUEST_ID: &str = "x-request-id";
const ENCODING: &str = "transfer-encoding";
const LENGTH: &str = "content-length";
const UPGRADE: &str = "upgrade";

/// The headers that are asked for, in their order; of one that is there twice the first.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Headers<'a> {
    kept: [(&'a [u8], &'a [u8]); MOST],
    count: usize,
}

/// A whole head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain<'a> {
    /// All of it.
    pub(super) head: &'a [u8],
    /// Its first line.
    pub(super) first: &'a [u8],
    pub(super) headers: Headers<'a>,
}

impl<'a> Headers<'a> {
    /// Those of them that are asked for.
    pub(super) fn of(all: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut headers = Self::default();
        for (name, value) in all {
            let asked = [HOST, TRACE, REQUEST_ID, ENCODING, LENGTH, UPGRADE];
            if asked.iter().any(|one| name.eq_ignore_ascii_case(one.as_bytes())) {
                headers.push(name, value);
            }
        }
        headers
    }

    pub(super) fn as_slice(&self) -> &[(&'a [u8], &'a [u8])] {
        self.kept.get(..self.count).unwrap_or_default()
    }

    fn push(&mut self, name: &'a [u8], value: &'a [u8]) {
        let is_there = self.as_slice().iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        if !is_there && let Some(place) = self.kept.get_mut(self.count) {
            *place = (name, value);
            self.count += 1;
        }
    }

    /// Takes a header's line if it is asked for; `None` for what may be no header.
    fn line(&mut self, line: &'a [u8]) -> Option<()> {
        let name = match line.first()? | 0x20 {
            b'h' => HOST,
            b'c' => LENGTH,
            b't' if line.get(TRACE.len()) == Some(&b':') => TRACE,
            b't' => ENCODING,
            b'u' => UPGRADE,
            b'x' => REQUEST_ID,
            first => return first.is_ascii_lowercase().then_some(()),
        };
        if line.get(name.len()) == Some(&b':')
            && let Some((found, value)) = line.split_at_checked(name.len())
            && found.eq_ignore_ascii_case(name.as_bytes())
        {
            if value.iter().any(u8::is_ascii_control) {
                return None;
            }
            self.push(found, value.get(1..)?.trim_ascii());
        }
        Some(())
    }
}

/// The head that these bytes begin with, and what is behind it.
pub(super) fn read(bytes: &[u8]) -> Option<(Plain<'_>, &[u8])> {
    let mut left = bytes;
    let first = line(&mut left)?;
    let mut headers = Headers::default();
    for _ in 0..=MAX_HEADERS {
        let header = line(&mut left)?;
        if header.is_empty() {
            let head = bytes.get(..bytes.len() - left.len())?;
            return Some((Plain { head, first, headers }, left));
        }
        headers.line(header)?;
    }
    None
}

/// Method, target and minor version of a request's first line.
pub(super) fn request_line(first: &[u8]) -> Option<(&[u8], &[u8], u8)> {
    let (method, rest) = first.split_at_checked(first.iter().position(|byte| *byte == b' ')?)?;
    let (target, version) = rest.get(1..)?.split_last_chunk::<9>()?;
    let minor = match version {
        b" HTTP/1.1" => 1,
        b" HTTP/1.0" => 0,
        _ => return None,
    };
    let is_target = !target.is_empty() && target.iter().all(u8::is_ascii_graphic);
    let is_method = !method.is_empty() && method.iter().all(u8::is_ascii_uppercase);
    (is_target && is_method).then_some((method, target, minor))
}

/// The status in an answer's first line.
pub(super) fn status(first: &[u8]) -> Option<u16> {
    let [b'0' | b'1', b' ', digits @ ..] = first.strip_prefix(b"HTTP/1.")? else { return None };
    let (digits, reason) = digits.split_first_chunk::<3>()?;
    let is_status = digits.iter().all(u8::is_ascii_digit) && (reason.is_empty() || reason.starts_with(b" "));
    is_status.then(|| digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0')))
}

/// The next line, without its end.
#[inline]
fn line<'a>(left: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (line, rest) = left.split_at_checked(memchr::memchr(b'\n', left)?)?;
    *left = rest.get(1..)?;
    line.strip_suffix(b"\r")
}

#[cfg(test)]
mod tests {
    use super::super::head;
    use super::{read, request_line, status};

    /// What `httparse` says of a whole head is what is said here, wherever anything is.
    #[test]
    fn heads_are_read_as_by_the_parser_of_all_of_them() {
        let lines = [
            "Host: a.b:80",
            "Accept: */*",
            "host:",
            "Content-Length: 12",
            "TRANSFER-ENCODING:  chunked ",
            "Tea: 1",
            "X-Request-Id: \u{e9}",
            "Upgrade: h2c",
            "traceparent: 00-1",
            "Hosts: none",
            "x: y",
            "Cookie: a=b; c=d",
        ];
        let firsts =
            ["GET /a?b=c HTTP/1.1", "POST http://a/b HTTP/1.0", "GET / HTTP/1.2", "G\u{c9}T / HTTP/1.1"];
        for (number, first) in firsts.iter().cycle().take(200).enumerate() {
            let chosen = (0..number % 7).map(|at| lines[(number * 5 + at * 7) % lines.len()]);
            let request: String =
                [*first].into_iter().chain(chosen.clone()).map(|line| format!("{line}\r\n")).collect();
            let request = format!("{request}\r\n");
            let (plain, _) = read(request.as_bytes()).unwrap();
            let (ours, theirs) = (head::plain_request(&plain), head::request(request.as_bytes()));
            assert_eq!(ours.is_some(), theirs.is_some(), "{request}");
            if let (Some(ours), Some(theirs)) = (ours, theirs) {
                assert_eq!(
                    (ours.method, ours.target, ours.minor),
                    (theirs.method, theirs.target, theirs.minor)
                );
                assert_eq!(ours.headers.as_slice(), theirs.headers.as_slice(), "{request}");
            }
            let status =
                ["HTTP/1.1 200 OK", "HTTP/1.0 503", "HTTP/1.1 404 ", "HTTP/1.1 20", "HTTP/3 200"][number % 5];
            let answer: String =
                [status].into_iter().chain(chosen).map(|line| format!("{line}\r\n")).collect();
            let answer = format!("{answer}\r\n");
            let (plain, _) = read(answer.as_bytes()).unwrap();
            let (ours, theirs) = (head::plain_response(&plain), head::response(answer.as_bytes()));
            assert_eq!(
                ours.as_ref().map(|head| head.status),
                theirs.as_ref().map(|head| head.status),
                "{answer}"
            );
            if let (Some(ours), Some(theirs)) = (ours, theirs) {
                assert_eq!(ours.headers.as_slice(), theirs.headers.as_slice(), "{answer}");
            }
        }
    }

    #[test]
    fn headers_said_often_leave_room_for_the_others() {
        let hosts = "Host: a\r\n".repeat(20);
        let head = format!("GET / HTTP/1.1\r\n{hosts}Content-Length: 7\r\n\r\n");
        let (plain, _) = read(head.as_bytes()).unwrap();
        let wanted = [(&b"Host"[..], &b"a"[..]), (b"Content-Length", b"7")];
        assert_eq!(plain.headers.as_slice(), wanted);
        assert_eq!(head::request(head.as_bytes()).unwrap().headers.as_slice(), wanted);
    }

    #[test]
    fn what_is_asked_for_is_read_and_other_forms_are_left_alone() {
        let bytes = b"GET /a HTTP/1.1\r\nHOST:  a:80 \r\nTransfer-Encodings: no\r\nAccept: */*\r\nContent-Length:0\r\n\r\nbody";
        let (plain, rest) = read(bytes).unwrap();
        let headers: Vec<_> = plain.headers.as_slice().to_vec();
        assert_eq!(headers, [(&b"HOST"[..], &b"a:80"[..]), (b"Content-Length", b"0")]);
        assert_eq!((plain.head.len(), rest), (bytes.len() - 4, &b"body"[..]));
        assert_eq!(request_line(plain.first), Some((&b"GET"[..], &b"/a"[..], 1)));
        for other in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n"[..],
            b"GET / HTTP/1.1\nHost: a\n\n",
            b"GET / HTTP/1.1\r\nHost: a\tb\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
            b"",
        ] {
            assert!(read(other).is_none(), "{}", String::from_utf8_lossy(other));
        }
        for line in
            [&b"GET /a"[..], b"GET  HTTP/1.1", b"get / HTTP/1.1", b"GET /a b HTTP/1.1", b"GET / HTTP/1.2"]
        {
            assert_eq!(request_line(line), None, "{}", String::from_utf8_lossy(line));
        }
        assert_eq!((status(b"HTTP/1.1 200 OK"), status(b"HTTP/1.0 404")), (Some(200), Some(404)));
        for line in [&b"HTTP/1.1 20 OK"[..], b"HTTP/2 200 OK", b"HTTP/1.1 2000", b"HTTP/1.1  200", b""] {
            assert_eq!(status(line), None);
        }
    }
}
