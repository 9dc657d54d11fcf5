//! Heads of HTTP/1 messages, whole or cut: read by `plain`, what that leaves by `httparse`.

use std::mem::MaybeUninit;

use httparse::{EMPTY_HEADER, Header, ParserConfig, Request, Response};

use super::plain::{self, Headers, Plain};

/// Headers of one head; what is more is not read.
const MAX_HEADERS: usize = 64;

/// What a request's head says.
pub(super) struct RequestHead<'a> {
    pub(super) method: Option<&'a [u8]>,
    pub(super) target: Option<&'a [u8]>,
    pub(super) minor: Option<u8>,
    pub(super) headers: Headers<'a>,
}

/// What an answer's head says.
pub(super) struct ResponseHead<'a> {
    pub(super) status: u16,
    pub(super) headers: Headers<'a>,
}

/// A head that `plain` has read; what its first line says may be left to `httparse`.
pub(super) fn plain_request<'a>(plain: &Plain<'a>) -> Option<RequestHead<'a>> {
    match plain::request_line(plain.first) {
        Some((method, target, minor)) => Some(RequestHead {
            method: Some(method),
            target: Some(target),
            minor: Some(minor),
            headers: plain.headers,
        }),
        None => request(plain.head),
    }
}

/// The same of an answer.
pub(super) fn plain_response<'a>(plain: &Plain<'a>) -> Option<ResponseHead<'a>> {
    match plain::status(plain.first) {
        Some(status) => Some(ResponseHead { status, headers: plain.headers }),
        None => response(plain.head),
    }
}

/// None if it is no request.
pub(super) fn request(head: &[u8]) -> Option<RequestHead<'_>> {
    // places that hold nothing yet: to write 64 of them takes longer than to read a head; but of one that is not whole they
    // are the only way to what was read
    let mut places = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut whole = Request::new(&mut []);
    if whole.parse_with_uninit_headers(head, &mut places).is_ok_and(|status| status.is_complete()) {
        return Some(of_request(&whole, head));
    }
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = Request::new(&mut headers);
    is_read(parsed.parse(head)).then(|| of_request(&parsed, head))
}

fn of_request<'a>(parsed: &Request<'_, 'a>, head: &'a [u8]) -> RequestHead<'a> {
    let headers = seen(parsed.headers);
    // Of a line that was cut `httparse` gives the method alone; the path was cut as well, so what there is may be a part.
    let target = parsed.path.map(str::as_bytes).or_else(|| cut_target(head));
    let method = parsed.method.map(str::as_bytes).or_else(|| head.split(|byte| *byte == b' ').next());
    RequestHead { method, target, minor: parsed.version, headers }
}

/// None if it is no answer.
pub(super) fn response(head: &[u8]) -> Option<ResponseHead<'_>> {
    let mut places = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut whole = Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut whole, head, &mut places);
    if parsed.is_ok_and(|status| status.is_complete()) {
        return Some(ResponseHead { status: whole.code?, headers: seen(whole.headers) });
    }
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = Response::new(&mut headers);
    if !is_read(parsed.parse(head)) {
        return None;
    }
    Some(ResponseHead { status: parsed.code?, headers: seen(parsed.headers) })
}

/// Whether what was read so far is of use, whole or not.
fn is_read(parsed: Result<httparse::Status<usize>, httparse::Error>) -> bool {
    use httparse::Error::{HeaderName, HeaderValue, TooManyHeaders};
    matches!(parsed, Ok(_) | Err(TooManyHeaders | HeaderName | HeaderValue))
}

/// The value of a header.
pub(super) fn value<'a>(headers: &Headers<'a>, name: &str) -> Option<&'a [u8]> {
    headers
        .as_slice()
        .iter()
        .find(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, value)| *value)
}

/// Whether a header's list has this word.
pub(super) fn names(headers: &Headers<'_>, name: &str, word: &str) -> bool {
    value(headers, name).is_some_and(|value| {
        value.split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    })
}

fn seen<'a>(headers: &[Header<'a>]) -> Headers<'a> {
    Headers::of(headers.iter().map(|header| (header.name.as_bytes(), header.value)))
}

/// Of a cut request line: the path up to its query, or without its last segment, which may be a part.
fn cut_target(head: &[u8]) -> Option<&[u8]> {
    let behind = head.iter().position(|byte| *byte == b' ')? + 1;
    let target = head.get(behind..).filter(|target| target.starts_with(b"/"))?;
    let end = target.iter().position(|byte| byte.is_ascii_whitespace() || *byte == b'?');
    let end = end.or_else(|| target.iter().rposition(|byte| *byte == b'/').map(|slash| slash + 1));
    target.get(..end?)
}
