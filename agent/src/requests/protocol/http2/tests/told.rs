//! Frames as the programs in the kernel tell them: the same exchanges come out of them as of the whole streams.

use agent_common::requests::frames::judge;

use super::super::super::tests::{Calls, Request, Response, tell, told};
use super::super::super::{Chunk, Direction, Exchange, decoder};
use super::{HTTP2, PREFACE, block, conversation, exchanges, frame, get, status};

/// One direction as `requests_frames` walks it; the frames are all there, so it never falls out of step.
#[derive(Default)]
struct Walker {
    head: Vec<u8>,
    left: usize,
    is_told: bool,
    has_begun: bool,
}

impl Walker {
    fn walk(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut told = Vec::new();
        while !bytes.is_empty() {
            if self.left > 0 {
                let (these, rest) = bytes.split_at(self.left.min(bytes.len()));
                if self.is_told {
                    told.extend(these);
                }
                self.left -= these.len();
                bytes = rest;
                continue;
            }
            let (these, rest) = bytes.split_at((9 - self.head.len()).min(bytes.len()));
            self.head.extend(these);
            bytes = rest;
            if self.head.len() == 9 {
                let first = u64::from_be_bytes(self.head[..8].try_into().unwrap());
                let verdict = judge(first, self.head[8], true);
                assert!(verdict.is_head());
                if verdict.is_told() {
                    told.extend(&self.head);
                }
                (self.left, self.is_told) = (verdict.length() as usize, verdict.is_whole());
                self.head.clear();
            }
        }
        told
    }
}

/// As the agent has it: a call of which nothing is told has no record, a long one several.
fn walked(calls: &Calls<'_>, most: usize) -> Vec<Exchange> {
    let mut decoder = decoder(HTTP2);
    let mut out = Vec::new();
    let mut walkers = [Walker::default(), Walker::default()];
    for (ts_ns, (direction, bytes)) in (0..).zip(calls) {
        let walker = &mut walkers[usize::from(*direction == Response)];
        let told = walker.walk(bytes);
        let mut total = bytes.len() as u64;
        for bytes in told.chunks(most) {
            let begins = !std::mem::replace(&mut walker.has_begun, true);
            let chunk = Chunk { direction: *direction, ts_ns, bytes, total, gap: false };
            decoder.frames(&chunk, begins, false, &mut out);
            total = 0;
        }
    }
    decoder.end(1_000_000, &mut out);
    out
}

fn pieces(calls: &[(Direction, Vec<u8>)], size: usize) -> Vec<(Direction, &[u8])> {
    calls.iter().flat_map(|(direction, bytes)| bytes.chunks(size).map(|piece| (*direction, piece))).collect()
}

/// Two streams with bodies, statuses behind them, and frames that nobody reads between.
fn spoken() -> Vec<(Direction, Vec<u8>)> {
    let grpc = block(&[(":method", "POST"), (":path", "/a.B/C"), ("content-type", "application/grpc")]);
    let ask = [
        PREFACE,
        &frame(4, 0, 0, &[0, 1, 0, 0, 0x10, 0]),
        &get(1, "/a"),
        &frame(1, 0, 3, &grpc[..7]),
        &frame(9, 4, 3, &grpc[7..]),
        &frame(0, 1, 3, &[b'x'; 40]),
        &frame(8, 0, 0, &[0, 0, 1, 0]),
        &get(5, "/c"),
        &frame(99, 0, 5, b"an extension"),
    ]
    .concat();
    let answer = [
        frame(4, 1, 0, &[]),
        status(1, 4, "404"),
        frame(1, 4, 3, &block(&[(":status", "200"), ("content-type", "application/grpc")])),
        frame(0, 0, 1, &[0; 300]),
        frame(0, 0, 3, &[1; 70]),
        frame(1, 5, 3, &block(&[("grpc-status", "13")])),
        frame(6, 0, 0, &[7; 8]),
        frame(0, 1, 1, &[]),
        frame(3, 0, 5, &[0, 0, 0, 7]),
    ]
    .concat();
    vec![(Request, ask), (Response, answer)]
}

#[test]
fn frames_that_were_told_say_the_same_wherever_calls_were_cut() {
    let spoken = spoken();
    let whole: Vec<String> = told(HTTP2, &pieces(&spoken, usize::MAX), usize::MAX);
    assert_eq!(whole.len(), 3);
    let longest = spoken.iter().map(|(_, bytes)| bytes.len()).max().unwrap();
    for size in 1..=longest {
        for most in [1, 9, 4_095] {
            let found: Vec<String> = walked(&pieces(&spoken, size), most).iter().map(tell).collect();
            assert_eq!(found, whole, "calls of {size} bytes, records of {most}");
        }
    }
    for cut in 1..spoken[1].1.len() {
        let (one, other) = spoken[1].1.split_at(cut);
        let calls = [(Request, spoken[0].1.as_slice()), (Response, one), (Response, other)];
        let found: Vec<String> = walked(&calls, 4_095).iter().map(tell).collect();
        assert_eq!(found, whole, "an answer cut at {cut}");
    }
}

#[tokio::test]
async fn what_a_real_client_and_server_say_is_the_same_where_frames_are_told() {
    let calls = conversation().await;
    for size in [usize::MAX, 1_000, 13] {
        let pieces = pieces(&calls, size);
        let whole = exchanges(HTTP2, &pieces, usize::MAX);
        assert_eq!(walked(&pieces, 4_095).iter().map(tell).collect::<Vec<_>>(), told_of(&whole), "{size}");
    }
}

fn told_of(exchanges: &[Exchange]) -> Vec<String> {
    exchanges.iter().map(tell).collect()
}

#[test]
fn frames_that_were_not_told_mark_what_was_open() {
    let ask = [PREFACE, &get(1, "/a"), &get(3, "/b")].concat();
    let (one, other) = (status(1, 5, "200"), status(3, 5, "500"));
    let run = |is_cut: bool, begins: bool, gap: bool, is_raw: bool| {
        let mut decoder = decoder(HTTP2);
        let mut out = Vec::new();
        let chunk = |direction, bytes, gap| Chunk { direction, ts_ns: 1, bytes, total: 20_000, gap };
        decoder.frames(&chunk(Request, &ask, false), true, false, &mut out);
        decoder.frames(&chunk(Response, &one, false), true, is_cut, &mut out);
        // a call without a record
        decoder.chunk(&chunk(Response, &[], false), &mut out);
        if is_raw {
            decoder.chunk(&Chunk { total: other.len() as u64, ..chunk(Response, &other, gap) }, &mut out);
        } else {
            decoder.frames(&chunk(Response, &other, gap), begins, false, &mut out);
        }
        decoder.end(2, &mut out);
        out.iter().map(|one| (one.http_status, one.failed, one.at_least)).collect::<Vec<_>>()
    };
    let (first, exact) = ((Some(200), false, false), (Some(500), true, false));
    let marked = (Some(500), true, true);
    assert_eq!(run(false, false, false, false), [first, exact]);
    assert_eq!(run(true, true, false, false), [first, marked], "behind what was cut");
    assert_eq!(run(false, true, false, false), [first, marked], "found again by its looks");
    assert_eq!(run(false, false, true, false), [first, marked], "a record was lost");
    assert_eq!(run(false, false, false, true), [first, marked], "its first bytes alone");
}

#[test]
fn a_record_that_was_lost_marks_what_was_open_and_not_what_begins_behind_it() {
    let mut decoder = decoder(HTTP2);
    let mut out = Vec::new();
    let mut tell = |direction, bytes: &[u8], begins, gap| {
        let chunk = Chunk { direction, ts_ns: 1, bytes, total: bytes.len() as u64, gap };
        decoder.frames(&chunk, begins, false, &mut out);
    };
    tell(Request, &[PREFACE, &get(1, "/a")].concat(), true, false);
    tell(Response, &status(1, 4, "200"), true, false);
    tell(Request, &get(3, "/b"), false, true);
    tell(Response, &[status(3, 5, "500"), frame(0, 1, 1, &[])].concat(), false, false);
    tell(Request, &get(5, "/c"), false, false);
    tell(Response, &status(5, 5, "204"), false, false);
    let found: Vec<_> = out.iter().map(|one| (one.http_status, one.at_least)).collect();
    // the first that ends says that there may have been others
    assert_eq!(found, [(Some(500), true), (Some(200), true), (Some(204), false)]);
}
