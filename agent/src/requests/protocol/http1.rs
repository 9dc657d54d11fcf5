//! HTTP/1.0 and 1.1: pipelines, chunked bodies, keep-alive, upgrades.
//!
//! In: calls of both directions, whole or cut. Out: an exchange per request, in their order.
//! An answer whose end cannot be seen (a cut head, no length) ends at the next request's head or at `end`.
//! `101` to `h2c`, and HTTP/2 with prior knowledge, go on in `http2`; `websocket` and tunnels are left alone from there.

mod head;
mod plain;
mod repeat;
mod side;

use super::http2::Http2;
use super::pending::Pending;
use super::trace::said;
use super::{Chunk, Decoder, Direction, Exchange, Move, OPEN_BYTES, Protocol, TraceContext, http};
use head::{names, value};
use plain::Headers;
use repeat::Repeat;
use side::{Body, Chunked, Found, Side};

/// Requests without an answer on one connection.
const MAX_PENDING: usize = 64;
/// What a request takes that is kept to be known again: its name and attributes.
const KEPT_BYTES: usize = 384;

pub(super) struct Http1 {
    request: Side,
    response: Side,
    last_request: Repeat<(Open, Body)>,
    last_answer: Repeat<Answer>,
    pending: Pending<Open>,
    /// Answers were missed, the last of them then: what is open ends with the next request.
    blind: Option<u64>,
    /// The last head of an answer was that of an interim one (100, 103): the next call may bring the next head.
    is_interim: bool,
    /// Something was lost, and no exchange has said so yet.
    lost: bool,
    then: Then,
}

#[derive(Clone)]
struct Open {
    exchange: Exchange,
    is_head: bool,
    is_connect: bool,
    wants_h2c: bool,
    answered: bool,
}

/// What an answer's head says.
#[derive(Clone, Copy)]
struct Answer {
    status: u16,
    /// As it is to all but `HEAD`.
    body: Body,
    is_h2c: bool,
}

/// What the connection became.
enum Then {
    Http1,
    Http2(Box<Http2>),
    /// Something that is not decoded.
    Other,
}

impl Http1 {
    pub(super) fn new() -> Self {
        Self {
            request: Side::new(begins_request),
            response: Side::new(begins_response),
            last_request: Repeat::default(),
            last_answer: Repeat::default(),
            pending: Pending::new(MAX_PENDING),
            blind: None,
            is_interim: false,
            lost: false,
            then: Then::Http1,
        }
    }

    fn requests(&mut self, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        let (mut bytes, mut behind) = unseen(chunk);
        self.request.begin(chunk);
        let mut is_first = true;
        loop {
            if self.ask_again(&mut bytes, out) {
                is_first = false;
                continue;
            }
            let Some(found) = self.request.next(&mut bytes, &mut behind) else { return };
            // behind a head that was cut in a pipeline there may be others
            let is_cut = !is_first && matches!(found, Found::Head { cut: true });
            self.lost |= is_cut || matches!(found, Found::Broken);
            is_first = false;
            let (plain, kept, cut) = match found {
                Found::Plain(plain) => (Some(plain), Vec::new(), false),
                Found::Head { cut } => (None, std::mem::take(&mut self.request.head), cut),
                Found::Passed => {
                    self.next_begins(out);
                    self.lost = true;
                    // it has an answer as every other one
                    self.pending.push(passed_by(self.request.since));
                    continue;
                }
                Found::End | Found::Broken => continue,
            };
            let head = plain.as_ref().map_or(kept.as_slice(), |plain| plain.head);
            if head.starts_with(b"PRI * HTTP/2.0\r\n") {
                let mut http2 = Box::new(Http2::new());
                http2.chunk(&Chunk { bytes: head, total: head.len() as u64, gap: false, ..*chunk }, out);
                let total = bytes.len() as u64 + behind;
                http2.chunk(&Chunk { bytes, total, gap: false, ..*chunk }, out);
                self.then = Then::Http2(http2);
                return;
            }
            self.next_begins(out);
            let head = plain.as_ref().map_or_else(|| head::request(&kept), head::plain_request);
            let Some((open, body)) = head.map(|head| read_request(&head, self.request.since, cut)) else {
                self.request.lose();
                self.lost = true;
                continue;
            };
            if let Some(plain) = plain {
                self.last_request.keep(plain.head, || (open.clone(), body));
            }
            self.request.expect(body);
            self.lost |= !self.pending.push(open);
        }
    }

    /// Takes a request whose head is the last one's again.
    fn ask_again(&mut self, bytes: &mut &[u8], out: &mut Vec<Exchange>) -> bool {
        if !self.request.is_between() {
            return false;
        }
        let Some(((open, body), length)) = self.last_request.find(bytes) else { return false };
        let (mut open, body) = (open.clone(), *body);
        self.last_request.found();
        *bytes = bytes.get(length..).unwrap_or_default();
        self.request.pass();
        (open.exchange.start_ns, open.exchange.end_ns) = (self.request.since, self.request.since);
        self.next_begins(out);
        self.request.expect(body);
        self.lost |= !self.pending.push(open);
        true
    }

    /// With the next request ends what has no end of its own.
    fn next_begins(&mut self, out: &mut Vec<Exchange>) {
        if let Some(last_ns) = self.blind.take() {
            self.let_go(Some(last_ns), out);
            self.response.lose();
        }
        if self.response.is_open() {
            self.finish_answered(out);
            self.response.lose();
        }
    }

    fn responses(&mut self, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        if self.is_interim && self.pending.len() == 1 && begins_response(chunk.bytes) {
            self.blind = None;
        }
        if let Some(last_ns) = &mut self.blind {
            *last_ns = chunk.ts_ns.max(*last_ns);
        } else {
            self.read_responses(chunk, out);
            // where one answer's end was not seen, which of those that wait is next is not known
            let is_unanswered = self.pending.back().is_some_and(|open| !open.answered);
            if self.response.is_open() && is_unanswered {
                self.blind = Some(chunk.ts_ns);
                self.lost = true;
            }
        }
        // an answer lasts as long as bytes come
        if let Some(open) = self.pending.front().filter(|open| open.answered) {
            open.exchange.end_ns = open.exchange.end_ns.max(chunk.ts_ns);
        }
    }

    fn read_responses(&mut self, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        let (mut bytes, mut behind) = unseen(chunk);
        let was_open = self.response.is_open();
        self.response.begin(chunk);
        if was_open && !self.response.is_open() {
            self.finish_answered(out);
        }
        if let Some(open) = self.pending.front() {
            open.exchange.first_byte_ns.get_or_insert(chunk.ts_ns);
            open.exchange.end_ns = chunk.ts_ns;
        }
        loop {
            let answer = match self.answered_again(&mut bytes) {
                Some(answer) => Some(answer),
                None => match self.response.next(&mut bytes, &mut behind) {
                    None => return,
                    Some(Found::End) => {
                        self.finish(chunk.ts_ns, out);
                        continue;
                    }
                    Some(Found::Broken | Found::Passed) => {
                        self.lost = true;
                        continue;
                    }
                    Some(Found::Plain(plain)) => {
                        let answer = head::plain_response(&plain).map(|head| read_answer(&head));
                        if let Some(answer) = answer {
                            self.last_answer.keep(plain.head, || answer);
                        }
                        answer
                    }
                    Some(Found::Head { .. }) => {
                        let kept = std::mem::take(&mut self.response.head);
                        head::response(&kept).map(|head| read_answer(&head))
                    }
                },
            };
            let left = self.answer(answer, chunk.ts_ns, out);
            if let Then::Http2(http2) = &mut self.then {
                let (seen, total) = (bytes, bytes.len() as u64 + behind);
                http2.chunk(&Chunk { bytes: seen, total, gap: false, ..*chunk }, out);
            }
            if !left {
                return;
            }
        }
    }

    /// An answer whose head is the last one's again.
    fn answered_again(&mut self, bytes: &mut &[u8]) -> Option<Answer> {
        if !self.response.is_between() {
            return None;
        }
        let (answer, length) = self.last_answer.find(bytes)?;
        let answer = *answer;
        self.last_answer.found();
        *bytes = bytes.get(length..).unwrap_or_default();
        self.response.pass();
        Some(answer)
    }

    /// Takes an answer's head; false if the connection is no longer HTTP/1.
    fn answer(&mut self, head: Option<Answer>, ts_ns: u64, out: &mut Vec<Exchange>) -> bool {
        let Some(head) = head else {
            self.response.lose();
            self.lost = true;
            return true;
        };
        let Some(open) = self.pending.front() else {
            self.response.expect(head.body);
            // Its request was not seen or not kept.
            if !self.pending.is_empty() {
                self.pending.pop();
            }
            return true;
        };
        if head.status == 101 {
            let h2c = open.wants_h2c && head.is_h2c;
            self.upgrade(h2c, ts_ns, out);
            return false;
        }
        if (100..200).contains(&head.status) {
            // the answer is still to come
            open.exchange.first_byte_ns = None;
            self.is_interim = true;
            self.response.expect(Body::None);
            return true;
        }
        self.is_interim = false;
        open.exchange.first_byte_ns.get_or_insert(ts_ns);
        open.exchange.end_ns = ts_ns;
        http::status(&mut open.exchange, head.status);
        open.answered = true;
        if open.is_connect && head.status < 300 {
            self.then = Then::Other;
            self.finish(ts_ns, out);
            return false;
        }
        let body = if open.is_head { Body::None } else { head.body };
        self.response.expect(body);
        if body == Body::None && !self.response.is_open() {
            self.finish(ts_ns, out);
        }
        true
    }

    fn upgrade(&mut self, h2c: bool, ts_ns: u64, out: &mut Vec<Exchange>) {
        let Some(mut open) = self.pending.pop() else { return };
        if h2c {
            let mut http2 = Box::new(Http2::new());
            http2.upgraded(open.exchange);
            self.then = Then::Http2(http2);
            return;
        }
        http::status(&mut open.exchange, 101);
        open.exchange.end_ns = ts_ns;
        self.give(open.exchange, out);
        self.then = Then::Other;
    }

    /// The answer at the front is complete.
    fn finish(&mut self, ts_ns: u64, out: &mut Vec<Exchange>) {
        if let Some(mut open) = self.pending.pop() {
            open.exchange.end_ns = ts_ns;
            self.give(open.exchange, out);
        }
    }

    /// The answer at the front has begun, and its end was not seen.
    fn finish_answered(&mut self, out: &mut Vec<Exchange>) {
        if self.pending.front().is_some_and(|open| open.answered)
            && let Some(open) = self.pending.pop()
        {
            self.give(open.exchange, out);
        }
    }

    fn give(&mut self, mut exchange: Exchange, out: &mut Vec<Exchange>) {
        exchange.at_least |= std::mem::take(&mut self.lost);
        out.push(exchange);
    }

    /// Which answer belongs to which request is not known any more.
    fn lose(&mut self, out: &mut Vec<Exchange>) {
        self.lost = true;
        self.blind = None;
        self.request.lose();
        self.response.lose();
        let open: Vec<_> = self.pending.drain().collect();
        for mut open in open {
            open.exchange.unseen(None);
            self.give(open.exchange, out);
        }
    }

    /// All that is open is told, that whose answer was missed without it.
    fn let_go(&mut self, last_ns: Option<u64>, out: &mut Vec<Exchange>) {
        let open: Vec<_> = self.pending.drain().collect();
        for mut open in open {
            if !open.answered {
                open.exchange.unseen(last_ns);
            }
            self.give(open.exchange, out);
        }
    }
}

impl Decoder for Http1 {
    fn chunk(&mut self, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        match &mut self.then {
            Then::Http2(http2) => return http2.chunk(chunk, out),
            Then::Other => return,
            Then::Http1 => {}
        }
        if chunk.gap {
            self.lose(out);
        }
        match chunk.direction {
            Direction::Request => self.requests(chunk, out),
            Direction::Response => self.responses(chunk, out),
        }
    }

    fn end(&mut self, ts_ns: u64, out: &mut Vec<Exchange>) {
        if let Then::Http2(http2) = &mut self.then {
            return http2.end(ts_ns, out);
        }
        if let Some(last_ns) = self.blind.take() {
            self.let_go(Some(last_ns), out);
        }
        let open: Vec<_> = self.pending.drain().collect();
        for mut open in open {
            if !open.answered {
                open.exchange.unanswered(ts_ns);
            }
            self.give(open.exchange, out);
        }
        self.request.lose();
        self.response.lose();
    }

    fn open(&self) -> usize {
        match &self.then {
            Then::Http2(http2) => http2.open(),
            Then::Http1 | Then::Other => self.pending.len(),
        }
    }

    fn goes_on(&self, bytes: &[u8], total: u64) -> bool {
        match &self.then {
            Then::Http1 => self.request.goes_on(bytes, total),
            Then::Http2(_) => false,
            Then::Other => true,
        }
    }

    fn said(&self, bytes: &[u8]) -> Option<TraceContext> {
        match self.last_request.find(bytes) {
            Some(((open, _), _)) => open.exchange.trace,
            None => said(bytes),
        }
    }

    fn moves(&mut self, into: &mut Vec<Move>) {
        if let Then::Http2(http2) = &mut self.then {
            http2.moves(into);
        }
    }

    fn memory(&self) -> usize {
        let then = match &self.then {
            Then::Http2(http2) => size_of::<Http2>() + http2.memory(),
            Then::Http1 | Then::Other => 0,
        };
        let heads = self.request.head.capacity() + self.response.head.capacity();
        let kept = if self.last_request.is_some() { KEPT_BYTES } else { 0 };
        self.pending.len() * OPEN_BYTES + kept + heads + then
    }
}

fn unseen<'a>(chunk: &Chunk<'a>) -> (&'a [u8], u64) {
    (chunk.bytes, chunk.total.saturating_sub(chunk.bytes.len() as u64))
}

/// A method in capitals and a blank, or the beginning of that.
fn begins_request(bytes: &[u8]) -> bool {
    let letters = bytes.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    letters > 0 && letters <= 16 && matches!(bytes.get(letters), None | Some(b' '))
}

fn begins_response(bytes: &[u8]) -> bool {
    let first = b"HTTP/1.";
    bytes.starts_with(first) || !bytes.is_empty() && first.starts_with(bytes)
}

fn read_request(head: &head::RequestHead<'_>, ts_ns: u64, cut: bool) -> (Open, Body) {
    let mut exchange = Exchange::new(Protocol::Http1, ts_ns);
    exchange.truncated = cut;
    http::request_line(&mut exchange, head.method, head.target);
    let version = if head.minor == Some(0) { "1.0" } else { "1.1" };
    exchange.attributes.push("network.protocol.name", "http");
    exchange.attributes.push("network.protocol.version", version);
    for (name, value) in head.headers.as_slice() {
        http::request_header(&mut exchange, name, value);
    }
    let chunked = names(&head.headers, "transfer-encoding", "chunked");
    let body =
        if chunked { Body::Chunked(Chunked::Size) } else { length(&head.headers).unwrap_or(Body::None) };
    let open = Open {
        exchange,
        is_head: head.method == Some(b"HEAD"),
        is_connect: head.method == Some(b"CONNECT"),
        wants_h2c: names(&head.headers, "upgrade", "h2c"),
        answered: false,
    };
    (open, body)
}

/// A request of which is known that it was there.
fn passed_by(ts_ns: u64) -> Open {
    let mut exchange = Exchange::new(Protocol::Http1, ts_ns);
    exchange.truncated = true;
    http::request_line(&mut exchange, None, None);
    exchange.attributes.push("network.protocol.name", "http");
    Open { exchange, is_head: false, is_connect: false, wants_h2c: false, answered: false }
}

fn read_answer(head: &head::ResponseHead<'_>) -> Answer {
    let body = if matches!(head.status, 100..=199 | 204 | 304) {
        Body::None
    } else if names(&head.headers, "transfer-encoding", "chunked") {
        Body::Chunked(Chunked::Size)
    } else {
        length(&head.headers).unwrap_or(Body::UntilClose)
    };
    Answer { status: head.status, body, is_h2c: names(&head.headers, "upgrade", "h2c") }
}

/// A body of no bytes is none.
fn length(headers: &Headers<'_>) -> Option<Body> {
    let value = value(headers, "content-length")?;
    let is_plain = matches!(value.len(), 1..=18) && value.iter().all(u8::is_ascii_digit);
    let length = match is_plain {
        true => value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')),
        false => str::from_utf8(value).ok()?.trim().parse().ok()?,
    };
    match length {
        0 => Some(Body::None),
        length => Some(Body::Length(length)),
    }
}

#[cfg(test)]
mod tests;
