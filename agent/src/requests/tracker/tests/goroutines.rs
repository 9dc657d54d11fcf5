//! Streams whose goroutines are told: one process, a connection of a server (socket 10) and one of its client (socket 20).

use agent_common::requests::line::{EVENT_OPENS, EVENT_SERVED, EVENT_SERVES, Line};
use agent_common::requests::{
    FLAG_CUT, FLAG_FRAMES, FLAG_GOES_ON, HTTP2, Header, IN, OUT, ROLE_CLIENT, ROLE_SERVER,
};
use agent_common::tls::PLAINTEXT;
use proto::v1::SpanRow;

use super::{GET, LIMITS, Limits, OK, Told, header, lost};
use crate::decode::requests::Elsewhere;

const SERVER: u64 = 10;
const CLIENT: u64 = 20;

/// A frame of headers for each stream: a call, or its answer.
fn frames(streams: &[u32], is_request: bool) -> Vec<u8> {
    let block: &[u8] = if is_request { b"\x83\x86\x44\x02/a" } else { b"\x88" };
    let mut bytes = Vec::new();
    for stream in streams {
        bytes.extend_from_slice(&[0, 0, block.len() as u8, 1, 5]);
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(block);
    }
    bytes
}

/// Goroutines' doings, and what of it becomes spans.
struct Goroutines {
    told: Told,
    sequence: u32,
    now: u64,
}

impl Goroutines {
    fn new() -> Self {
        Self { told: Told::new(LIMITS), sequence: 0, now: 0 }
    }

    fn carries(&mut self, socket: u64, direction: u8, streams: &[u32]) {
        self.carries_with(0, socket, direction, streams);
    }

    fn carries_with(&mut self, flags: u32, socket: u64, direction: u8, streams: &[u32]) {
        self.sequence += 1;
        self.now += 1_000;
        let is_client = socket & !PLAINTEXT == CLIENT;
        let bytes = frames(streams, is_client == (direction == OUT));
        let record = Header {
            protocol: HTTP2,
            role: if is_client { ROLE_CLIENT } else { ROLE_SERVER },
            start_ns: self.now,
            at_ns: self.now,
            sequence: 0,
            flags,
            ..header(socket, 1, direction, bytes.len() as u64)
        };
        self.told.take(record, &bytes);
    }

    /// `goroutine` serves or opens a stream.
    fn goroutine(&mut self, event: u32, goroutine: u64, socket: u64, born_ns: u64, stream: u64) {
        self.goroutine_at(0, event, goroutine, socket, born_ns, stream);
    }

    /// The same of one whose struct is at `place`.
    fn goroutine_at(
        &mut self,
        place: u64,
        event: u32,
        goroutine: u64,
        socket: u64,
        born_ns: u64,
        stream: u64,
    ) {
        self.now += 1_000;
        let line = Line {
            event,
            mode: 0,
            inode: socket,
            position: goroutine,
            total: stream,
            workload: place,
            start_ns: born_ns,
            at_ns: self.now,
            device: 0,
            tgid: 3,
            tid: 4,
            data_len: 0,
        };
        self.told.tracker.elsewhere(&Elsewhere { line, bytes: &[] }, 0);
    }

    /// The goroutine at `place` reads or writes on a connection of HTTP/1; of a server's socket below 20.
    fn writes(&mut self, place: u64, socket: u64, direction: u8, before_total: u64, bytes: &[u8]) {
        self.now += 1_000;
        let record = Header {
            role: if socket >= CLIENT { ROLE_CLIENT } else { ROLE_SERVER },
            start_ns: self.now,
            at_ns: self.now,
            sequence: 0,
            task: place,
            before_total,
            run_calls: 1 + u32::from(before_total > 0),
            ..header(socket, 1, direction, bytes.len() as u64)
        };
        self.told.take(record, bytes);
    }

    fn serves(&mut self, goroutine: u64, stream: u64) {
        self.goroutine(EVENT_SERVES, goroutine, SERVER, 1, stream);
    }

    fn opens(&mut self, goroutine: u64, stream: u64) {
        self.goroutine(EVENT_OPENS, goroutine, CLIENT, 1, stream);
    }

    /// The parent of each call, by the number of its span, and how sure it is.
    fn calls(&self) -> Vec<(String, String)> {
        let sure = |span: &SpanRow| span.attributes.get("wake.join.confidence").cloned().unwrap_or_default();
        let spans = self.told.spans();
        let calls = spans.iter().filter(|span| span.kind == "client");
        calls.map(|span| (span.parent_span_id.clone(), sure(span))).collect()
    }

    fn servers(&self) -> Vec<SpanRow> {
        self.told.spans().into_iter().filter(|span| span.kind == "server").collect()
    }
}

#[test]
fn calls_belong_to_the_stream_of_their_goroutine_whenever_that_is_told() {
    let mut all = Goroutines::new();
    all.carries(SERVER, IN, &[1, 3, 5]);
    // in another order than they came, as runtimes do
    for (goroutine, stream) in [(70, 5), (71, 1), (72, 3)] {
        all.serves(goroutine, stream);
    }
    // told before the request is written, and after
    all.opens(72, 1);
    all.carries(CLIENT, OUT, &[1, 3, 5]);
    all.opens(71, 5);
    all.opens(70, 3);
    all.carries(CLIENT, IN, &[3, 5, 1]);
    all.carries(SERVER, OUT, &[1, 3, 5]);
    let servers = all.servers();
    let wanted = [5, 1, 3].map(|stream: usize| (servers[stream / 2].span_id.clone(), "0.95".to_owned()));
    assert_eq!(all.calls(), wanted);
    let calls = all.told.spans().into_iter().filter(|span| span.kind == "client");
    let traces: Vec<String> = calls.map(|span| span.trace_id).collect();
    assert_eq!(traces, [5, 1, 3].map(|stream: usize| servers[stream / 2].trace_id.clone()));
    assert!(lost(&all.told.tidy(0), "joins_full") == 0);
}

#[test]
fn what_is_told_of_others_or_too_late_joins_nothing() {
    let mut all = Goroutines::new();
    // two at once, so that threads say nothing
    all.carries(SERVER, IN, &[1, 3]);
    all.serves(70, 1);
    all.serves(71, 3);
    all.carries(CLIENT, OUT, &[1, 3, 5, 7, 9]);
    // a goroutine that serves nobody, a stream of another connection in the same memory, one that no client has
    all.opens(72, 1);
    all.goroutine(EVENT_OPENS, 70, CLIENT, 2, 3);
    all.goroutine(EVENT_OPENS, 70, CLIENT, 1, 1 << 32 | 5);
    all.goroutine(EVENT_OPENS, 70, CLIENT, 1, 0);
    all.goroutine(EVENT_OPENS, 70, SERVER, 1, 1);
    // a stream that this connection does not serve, and one that it asks
    all.serves(73, 9);
    all.opens(73, 5);
    all.goroutine(EVENT_SERVES, 74, CLIENT, 1, 7);
    all.opens(74, 7);
    all.carries(CLIENT, IN, &[1, 3, 5, 7, 9]);
    // the answer was first
    all.opens(70, 9);
    assert_eq!(all.calls(), vec![(String::new(), String::new()); 5]);
    // whoever serves no more
    all.carries(SERVER, OUT, &[1, 3]);
    all.carries(SERVER, IN, &[5, 7]);
    all.opens(70, 11);
    all.carries(CLIENT, OUT, &[11, 13]);
    all.carries(CLIENT, IN, &[11, 13]);
    assert_eq!(all.calls()[5..], vec![(String::new(), String::new()); 2]);
}

#[test]
fn a_stream_of_a_call_that_goes_on_is_not_alone_in_it() {
    let of = |more: u32| {
        let mut all = Goroutines::new();
        all.carries(SERVER, IN, &[1]);
        all.carries_with(FLAG_FRAMES | more, CLIENT, OUT, &[1]);
        all.carries_with(FLAG_FRAMES, CLIENT, IN, &[1]);
        all.calls().remove(0).1
    };
    assert_eq!(of(0), "0.7");
    for more in [FLAG_GOES_ON, FLAG_CUT] {
        assert_eq!(of(more), "0.6", "nobody's turn, but no other one is open");
    }
}

#[test]
fn under_tls_the_plaintext_is_what_streams_are_on() {
    let mut all = Goroutines::new();
    all.carries(SERVER | PLAINTEXT, IN, &[1, 3]);
    all.goroutine(EVENT_SERVES, 70, SERVER | PLAINTEXT, 1, 3);
    all.goroutine(EVENT_OPENS, 70, CLIENT | PLAINTEXT, 1, 1);
    all.carries(CLIENT | PLAINTEXT, OUT, &[1, 3]);
    all.carries(CLIENT | PLAINTEXT, IN, &[1, 3]);
    all.carries(SERVER | PLAINTEXT, OUT, &[1, 3]);
    let servers = all.servers();
    assert_eq!(all.calls()[0], (servers[1].span_id.clone(), "0.95".to_owned()));
    assert_eq!(all.calls()[1].1, "");
}

/// Where structs of goroutines are.
const HANDLER: u64 = 0xc000_0100;
const OTHER: u64 = 0xc000_0200;

#[test]
fn what_the_goroutine_of_a_stream_writes_itself_is_that_streams() {
    let mut all = Goroutines::new();
    all.carries(SERVER, IN, &[1, 3]);
    all.goroutine_at(HANDLER, EVENT_SERVES, 70, SERVER, 1, 3);
    all.writes(HANDLER, 30, OUT, 0, GET);
    all.writes(HANDLER, 30, IN, 0, OK);
    // another one
    all.writes(OTHER, 31, OUT, 0, GET);
    all.writes(OTHER, 31, IN, 0, OK);
    // its handler is over, whoever has its struct now
    all.goroutine_at(HANDLER, EVENT_SERVED, 70, 0, 0, 0);
    all.writes(HANDLER, 32, OUT, 0, GET);
    all.goroutine_at(HANDLER, EVENT_OPENS, 71, CLIENT, 1, 1);
    all.carries(CLIENT, OUT, &[1]);
    all.writes(HANDLER, 32, IN, 0, OK);
    all.carries(CLIENT, IN, &[1]);
    all.carries(SERVER, OUT, &[3]);
    all.writes(HANDLER, 33, OUT, 0, GET);
    all.writes(HANDLER, 33, IN, 0, OK);
    all.carries(SERVER, OUT, &[1]);
    let served = all.servers().remove(0).span_id;
    let calls = all.calls();
    assert_eq!(calls[0], (served, "0.95".to_owned()));
    assert!(calls[1..].iter().all(|(_, sure)| sure != "0.95"), "guesses of the thread: {calls:?}");
}

#[test]
fn a_stream_is_opened_for_what_the_goroutine_has_read() {
    let mut all = Goroutines::new();
    for round in 0..2 {
        // another goroutine waits with one byte for the next request, and is over then
        all.writes(OTHER, SERVER, IN, 0, &GET[..1]);
        all.goroutine_at(OTHER, EVENT_OPENS, 71, CLIENT, 1, 4 * round + 1);
        all.writes(HANDLER, SERVER, IN, 1, &GET[1..]);
        all.goroutine_at(HANDLER, EVENT_OPENS, 70, CLIENT, 1, 4 * round + 3);
        let streams = [4 * round + 1, 4 * round + 3].map(|stream| u32::try_from(stream).unwrap());
        all.carries(CLIENT, OUT, &streams);
        all.carries(CLIENT, IN, &streams);
        all.writes(HANDLER, SERVER, OUT, 0, OK);
    }
    // that it is Go's is known from what it opened first
    let served = all.servers().remove(1).span_id;
    let calls = all.calls();
    assert_eq!(calls[3], (served, "0.95".to_owned()));
    assert_ne!(calls[2].1, "0.95", "{calls:?}");
}

/// Streams that are served at once, more than there is room for.
const MANY: u64 = 20_000;

#[test]
fn a_stream_that_many_goroutines_serve_takes_the_room_of_one() {
    let mut all = Goroutines::new();
    all.carries(SERVER, IN, &[1]);
    for goroutine in 0..MANY {
        all.serves(goroutine, 1);
    }
    assert_eq!(lost(&all.told.tidy(0), "joins_full"), 0);
}

#[test]
fn what_there_is_no_room_for_is_counted() {
    let limits = Limits { memory: 64 << 20, ..LIMITS };
    let mut all = Goroutines { told: Told::new(limits), ..Goroutines::new() };
    for connection in 0..MANY / 500 {
        let socket = 1_000 + connection;
        let streams: Vec<u32> = (0..500).map(|number| number * 2 + 1).collect();
        all.carries(socket, IN, &streams);
        for stream in streams {
            let stream = u64::from(stream);
            all.goroutine(EVENT_SERVES, connection * 500 + stream / 2, socket, 1, stream);
        }
    }
    // a goroutine that was told before is no new one
    all.goroutine(EVENT_SERVES, 5, 1_000, 1, 11);
    assert_eq!(lost(&all.told.tidy(0), "joins_full"), 20_000 - 16_384);
    for stream in 0..20_000 {
        all.opens(5, stream * 2 + 1);
    }
    // nothing is as old as a second
    assert_eq!(lost(&all.told.tidy(0), "joins_full"), 20_000 - 16_384);
    all.now += 2_000_000_000;
    all.opens(5, 99_999);
    assert_eq!(lost(&all.told.tidy(0), "joins_full"), 0);
}
