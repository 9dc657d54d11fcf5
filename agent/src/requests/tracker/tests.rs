mod goroutines;

use agent_common::requests::{
    DNS, EVENT_DATA, EVENT_END, FLAG_FRAMES, HEAD_LEN, HTTP1, HTTP2, Header, IN, OUT, ROLE_CLIENT,
    ROLE_SERVER, TLS, TRANSPORT_TCP, TRANSPORT_UDP,
};
use agent_common::tls::PLAINTEXT;
use proto::v1::{RequestRow, SpanRow};

use super::streams::Run;
use super::{Limits, Tracker};
use crate::decode::requests::Piece;
use crate::requests::ids::Ids;
use crate::window::sample::{Loss, Row, Sample};

const LIMITS: Limits = Limits { connections: 64, memory: 1 << 20, spans: 1_000_000 };
const GET: &[u8] = b"GET /a HTTP/1.1\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// What is told, in order.
struct Told {
    tracker: Tracker,
    out: Vec<Sample>,
}

fn v4(last: u8) -> [u32; 4] {
    [0, 0, 0xffff_u32.to_be(), u32::from_ne_bytes([10, 0, 0, last])]
}

/// The `number`th record of a client's connection.
fn header(socket: u64, number: u32, direction: u8, total: u64) -> Header {
    Header {
        event: EVENT_DATA,
        sequence: number,
        socket,
        born_ns: 1,
        workload: 7,
        start_ns: u64::from(number) * 1_000,
        at_ns: u64::from(number) * 1_000,
        total,
        before_total: 0,
        before_ns: 0,
        local: v4(1),
        peer: v4(2),
        local_port: 40_000,
        peer_port: 80,
        tgid: 3,
        tid: 4,
        run_calls: 1,
        protocol: HTTP1,
        role: ROLE_CLIENT,
        direction,
        transport: TRANSPORT_TCP,
        head_len: 0,
        head: [0; HEAD_LEN],
        data_len: 0,
        flags: 0,
        task: 0,
    }
}

impl Told {
    fn new(limits: Limits) -> Self {
        Self {
            tracker: Tracker::new(limits, Ids::seeded(1), crate::requests::written::Written::default()),
            out: Vec::new(),
        }
    }

    fn take(&mut self, header: Header, data: &[u8]) {
        self.tracker.take(&Piece { header, head: &[], data }, 0, &mut self.out);
    }

    fn ask(&mut self, socket: u64) {
        self.take(header(socket, 1, OUT, GET.len() as u64), GET);
    }

    fn answer(&mut self, socket: u64) {
        self.take(header(socket, 2, IN, OK.len() as u64), OK);
    }

    fn later(&mut self, now_ns: u64) {
        self.tracker.ask(now_ns, 0, |_| None::<Run>, &mut self.out);
    }

    fn tidy(&mut self, now_ns: u64) -> Vec<Loss> {
        self.tracker.tidy(now_ns, 0, &mut self.out)
    }

    fn spans(&self) -> Vec<SpanRow> {
        let rows =
            |sample: &Sample| if let Row::Spans(spans) = &sample.row { spans.rows() } else { Vec::new() };
        self.out.iter().flat_map(rows).collect()
    }

    fn requests(&self) -> Vec<&RequestRow> {
        self.out
            .iter()
            .filter_map(|sample| if let Row::Request(row) = &sample.row { Some(&**row) } else { None })
            .collect()
    }
}

fn lost(losses: &[Loss], reason: &str) -> u64 {
    losses.iter().filter(|loss| loss.reason == reason).map(|loss| loss.count).sum()
}

#[test]
fn a_full_table_forgets_the_quiet_ones_and_says_what_it_knows_of_them() {
    let mut told = Told::new(LIMITS);
    for socket in 0..64 {
        told.ask(socket);
    }
    // all are busy
    told.ask(100);
    assert_eq!((told.tracker.len(), told.spans().len()), (64, 0));
    // one of them goes on, the others are quiet
    let later = 40_000_000_000;
    let going_on = Header { at_ns: later, start_ns: later, ..header(5, 2, IN, OK.len() as u64) };
    told.take(going_on, OK);
    told.take(Header { at_ns: later, ..header(101, 1, OUT, GET.len() as u64) }, GET);
    assert_eq!(told.tracker.len(), 2);
    let spans = told.spans();
    assert_eq!(spans.len(), 64);
    assert!(spans.iter().all(|span| span.status.is_empty()), "nobody knows that they failed");
    assert_eq!(spans.iter().filter(|span| span.attributes.contains_key("wake.truncated")).count(), 63);
    let losses = told.tidy(later);
    assert_eq!((lost(&losses, "connections_full"), lost(&losses, "connections_evicted")), (1, 63));
}

#[test]
fn all_decoders_together_hold_no_more_than_they_may() {
    let mut told = Told::new(Limits { connections: 1_000, ..LIMITS });
    for socket in 0..300 {
        for number in 0..40 {
            let ask = Header { run_calls: number, ..header(socket, number + 1, OUT, GET.len() as u64) };
            told.take(ask, GET);
            assert!(told.tracker.memory() <= LIMITS.memory + LIMITS.memory / 4);
        }
    }
    told.later(1_000_000_000);
    assert!(told.tracker.memory() <= LIMITS.memory, "{}", told.tracker.memory());
    assert!(lost(&told.tidy(0), "decoder_memory") > 0);
    for number in 0..300 {
        let end = Header { event: EVENT_END, ..header(number, 100, OUT, 0) };
        told.take(end, &[]);
    }
    assert_eq!((told.tracker.len(), told.tracker.memory()), (0, 0));
    let counted = told.spans().len();
    assert_eq!(counted, 12_000, "every request that was seen is told once");
}

#[test]
fn a_connection_whose_answer_was_not_read_or_that_is_given_up_has_not_failed() {
    let end =
        |socket, protocol, unread| Header { event: EVENT_END, protocol, ..header(socket, 2, OUT, unread) };
    for (protocol, unread, failed) in
        [(HTTP1, 0, true), (HTTP1, 1, true), (HTTP1, 500, false), (TLS, 0, false)]
    {
        let mut told = Told::new(LIMITS);
        told.ask(1);
        told.take(end(1, protocol, unread), &[]);
        let spans = told.spans();
        assert_eq!(spans.len(), 1);
        assert_eq!(
            (spans[0].status == "error", spans[0].attributes.contains_key("error.type")),
            (failed, failed)
        );
    }
}

fn question(id: u16) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend_from_slice(b"\x01\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x01\0\x01");
    bytes
}

fn datagram(socket: u64, at_ns: u64, direction: u8, peer: (u8, u16)) -> Header {
    Header {
        sequence: 0,
        born_ns: 0,
        start_ns: at_ns,
        at_ns,
        peer: v4(peer.0),
        peer_port: peer.1,
        protocol: DNS,
        role: ROLE_CLIENT,
        transport: TRANSPORT_UDP,
        ..header(socket, 0, direction, 27)
    }
}

#[test]
fn a_question_is_kept_until_it_is_answered_or_late() {
    let mut told = Told::new(LIMITS);
    let (ask, mut answer) = (question(1), question(1));
    answer[2] |= 0x80;
    told.take(datagram(1, 1_000, OUT, (2, 53)), &ask);
    told.take(datagram(2, 1_000, OUT, (2, 53)), &ask);
    told.take(datagram(1, 9_000, IN, (2, 53)), &answer);
    assert_eq!((told.tracker.len(), told.spans().len()), (1, 1));
    // an answer to nothing begins nothing
    told.take(datagram(1, 9_500, IN, (2, 53)), &answer);
    assert_eq!(told.tracker.len(), 1);
    told.later(7_000_000_000);
    let spans = told.spans();
    assert_eq!((told.tracker.len(), spans.len()), (0, 2));
    assert_eq!(spans[1].attributes["error.type"], "no_response");
    assert_eq!(spans[1].duration_ns, 6_000_000_000);
}

#[test]
fn a_socket_that_asks_all_the_time_has_its_unanswered_questions_told_as_that() {
    let mut told = Told::new(LIMITS);
    for number in 0..1_000_u16 {
        // a question every 50 ms, of which one in ten is answered
        let at_ns = u64::from(number) * 50_000_000;
        let (ask, mut answer) = (question(number), question(number));
        answer[2] |= 0x80;
        told.take(datagram(1, at_ns, OUT, (2, 53)), &ask);
        if number % 10 == 0 {
            told.take(datagram(1, at_ns + 1_000, IN, (2, 53)), &answer);
        }
        told.later(at_ns);
    }
    told.later(70_000_000_000);
    told.later(80_000_000_000);
    assert!(told.tracker.is_empty());
    let spans = told.spans();
    let unanswered = spans.iter().filter(|span| span.attributes.contains_key("error.type"));
    assert!(unanswered.clone().all(|span| span.duration_ns == 6_000_000_000));
    assert_eq!((spans.len(), unanswered.count()), (1_000, 900));
    assert!(spans.iter().all(|span| !span.attributes.contains_key("wake.truncated")));
}

#[test]
fn all_questions_that_wait_are_bounded() {
    let mut told = Told::new(LIMITS);
    // few sockets with many questions each
    for number in 0..200_u16 {
        for socket in 0..400 {
            told.take(datagram(socket, 1_000 + u64::from(number), OUT, (2, 53)), &question(number));
        }
    }
    let told_of = told.spans().len();
    assert!(told_of >= 400 * 200 - 32_768, "{told_of}");
    assert_eq!(lost(&told.tidy(1_000_000), "questions_full"), told_of as u64);
    assert!(told.spans().iter().all(|span| span.attributes.contains_key("wake.truncated")));
}

#[test]
fn many_who_ask_find_room_at_once_and_questions_to_many_are_none() {
    let mut told = Told::new(LIMITS);
    let ask = question(1);
    for socket in 0..200_000 {
        told.take(datagram(socket, 1_000 + socket, OUT, (2, 53)), &ask);
    }
    assert_eq!(told.tracker.len(), 32_768);
    assert_eq!(lost(&told.tidy(1_000_000), "questions_full"), 200_000 - 32_768);
    let mut told = Told::new(LIMITS);
    told.take(datagram(1, 1_000, OUT, (251, 5_353)), &ask);
    told.take(Header { peer: [0xff02_0000_u32.to_be(), 0, 0, 1], ..datagram(1, 1_000, OUT, (2, 53)) }, &ask);
    assert!(told.tracker.is_empty());
}

#[test]
fn every_request_is_counted_also_those_that_are_no_spans() {
    let mut told = Told::new(Limits { spans: 10, ..LIMITS });
    for number in 0..50 {
        told.ask(number);
        told.answer(number);
    }
    told.tracker.tell_all(false);
    told.ask(60);
    told.answer(60);
    let losses = told.tidy(0);
    assert_eq!((lost(&losses, "span_budget"), lost(&losses, "budget")), (42, 1));
    assert_eq!(told.spans().len(), 8);
    let requests = told.requests();
    let counted: Vec<_> = requests.iter().map(|row| (row.count, row.spans)).collect();
    assert_eq!(counted, [(43, 0), (8, 8)]);
    assert_eq!((requests[0].kind.as_str(), requests[0].name.as_str()), ("client", "GET /a"));
}

#[test]
fn a_lost_record_leaves_no_state_of_either_side() {
    let mut told = Told::new(LIMITS);
    let server = |number, direction, data: &[u8]| Header {
        role: ROLE_SERVER,
        ..header(1, number, direction, data.len() as u64)
    };
    told.take(server(1, IN, GET), GET);
    // its answer and another request are lost
    told.take(server(4, OUT, OK), OK);
    told.take(server(5, IN, GET), GET);
    told.take(server(6, OUT, OK), OK);
    let spans = told.spans();
    assert_eq!(spans.len(), 2);
    assert!(spans[0].attributes.contains_key("wake.truncated"));
    assert_eq!(spans[1].attributes["http.response.status_code"], "200");
    assert_eq!(lost(&told.tidy(0), "record_gap"), 1);
}

/// What is read and what is written of streams is told of by two threads, perhaps at once.
#[test]
fn records_of_streams_are_numbered_by_their_direction() {
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    let gaps_of = |records: &[(u32, u8)], end: u32| {
        let mut told = Told::new(LIMITS);
        for &(number, direction) in records {
            let header = header(1, number, direction, SETTINGS.len() as u64);
            told.take(Header { protocol: HTTP2, flags: FLAG_FRAMES, ..header }, SETTINGS);
        }
        told.take(Header { protocol: HTTP2, event: EVENT_END, ..header(1, end, IN, 0) }, b"");
        lost(&told.tidy(0), "record_gap")
    };
    let gaps = |last: u32, end: u32| gaps_of(&[(1, OUT), (1, IN), (2, IN), (last, OUT)], end);
    assert_eq!(gaps(2, 5), 0, "all");
    assert_eq!(gaps(3, 6), 1, "one in the middle");
    assert_eq!(gaps(2, 6), 1, "the last one");
    // one that was forgotten here, and that the kernel still counts, is met again: once
    assert_eq!(gaps_of(&[(501, IN), (481, OUT), (502, IN), (482, OUT)], 985), 1, "met again");
    assert_eq!(gaps_of(&[(501, IN), (481, OUT), (502, IN), (484, OUT)], 987), 2, "and one is lost then");
}

/// The status and the duration of both of two requests that nothing lay between, and one answer to the last.
fn asked_twice(socket: u64, after_ns: u64) -> Vec<(String, u64)> {
    let mut told = Told::new(LIMITS);
    told.ask(socket);
    let second = Header {
        run_calls: 2,
        before_total: GET.len() as u64,
        start_ns: 1_000 + after_ns,
        at_ns: 1_000 + after_ns,
        ..header(socket, 2, OUT, GET.len() as u64)
    };
    told.take(second, GET);
    let at_ns = 50_000_000;
    told.take(Header { start_ns: at_ns, at_ns, ..header(socket, 3, IN, OK.len() as u64) }, OK);
    told.take(Header { event: EVENT_END, at_ns: at_ns + 1, ..header(socket, 4, IN, 0) }, b"");
    let status =
        |span: &SpanRow| span.attributes.get("http.response.status_code").cloned().unwrap_or_default();
    told.spans().iter().map(|span| (status(span), span.duration_ns)).collect()
}

#[test]
fn an_answer_that_came_unseen_inside_a_library_is_not_waited_for() {
    let late = 40_000_000;
    let spans = asked_twice(8 | PLAINTEXT, late);
    assert_eq!(spans.len(), 2);
    assert_eq!(spans[0].0, "", "what was answered unseen has no status");
    assert_eq!(spans[1], (String::from("200"), 50_000_000 - 1_000 - late), "the answer is the second one's");
    // of a socket no read is missed, and a pipeline does not wait
    for (socket, after_ns) in [(8, late), (8 | PLAINTEXT, 500_000)] {
        let spans = asked_twice(socket, after_ns);
        assert_eq!(spans[0].0, "200", "the answer is the first one's: {spans:?}");
    }
}

/// A server that tells its client to go on, and asks another one once it has the whole request; with `early` it answers
/// before it has that.
fn asked_to_go_on(early: &[u8]) -> Vec<SpanRow> {
    const HEAD: &[u8] = b"POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 6\r\n\r\n";
    let mut told = Told::new(LIMITS);
    let server = |number, direction, data: &[u8]| Header {
        role: ROLE_SERVER,
        ..header(1, number, direction, data.len() as u64)
    };
    let mut both = |number, direction, data: &[u8]| told.take(server(number, direction, data), data);
    both(1, IN, HEAD);
    both(2, OUT, early);
    both(3, IN, b"abc");
    both(4, OUT, b"HTTP/1.1 102 Processing\r\n\r\n");
    both(5, IN, b"def");
    told.take(Header { sequence: 1, ..header(2, 6, OUT, GET.len() as u64) }, GET);
    told.take(Header { sequence: 2, ..header(2, 7, IN, OK.len() as u64) }, OK);
    told.take(server(6, OUT, OK), OK);
    // what comes next on the connection is a request of its own
    told.take(Header { start_ns: 9_000, at_ns: 9_000, ..server(7, IN, GET) }, GET);
    told.take(Header { start_ns: 9_500, at_ns: 9_500, ..server(8, OUT, OK) }, OK);
    told.spans()
}

#[test]
fn a_request_keeps_its_place_while_its_client_is_told_to_go_on() {
    let spans = asked_to_go_on(b"HTTP/1.1 100 Continue\r\n\r\n");
    let [call, asked, next] = spans.as_slice() else { panic!("{spans:#?}") };
    assert_eq!((asked.kind.as_str(), asked.name.as_str()), ("server", "POST /a"));
    assert_eq!(asked.attributes["http.response.status_code"], "200");
    assert_eq!((call.kind.as_str(), &call.parent_span_id), ("client", &asked.span_id));
    assert_eq!((next.name.as_str(), next.parent_span_id.as_str()), ("GET /a", ""));
    assert_ne!((&next.trace_id, &next.span_id), (&asked.trace_id, &asked.span_id));
}
