//! HTTP/2 and gRPC: streams interleaved on one connection, header tables, trailers.
//!
//! In: calls of both directions, whole or cut. Out: an exchange per stream of the client.
//! A connection may be met in its middle and may lose calls: headers that the table of before is needed for are then
//! unknown, the exchange has no path or status, and is marked `truncated`; what is sent from there on is known again.
//! Streams that were open at a gap, and the next exchange, are marked `at_least`.

mod blocks;
mod fields;
mod frame;
mod hpack;
mod huffman;

use std::collections::BTreeMap;

use super::frames::Event;
use super::{Chunk, Decoder, Direction, Exchange, Move, OPEN_BYTES, Protocol, http};
use blocks::{Headers, Side};
use frame::{CONTINUATION, DATA, END_STREAM, Frame, HEADERS, PUSH_PROMISE, RST_STREAM};

/// Streams that are followed at a time; beyond it the oldest is given up.
const MAX_STREAMS: usize = 512;
/// Moves of streams that nobody has asked for; a call has hardly more.
const MAX_MOVES: usize = 1_024;
/// A stream that was open at a loss and had begun its answer is over if it was quiet this long.
const DOUBT_NS: u64 = 2_000_000_000;

#[derive(Default)]
pub(super) struct Http2 {
    request: Side,
    response: Side,
    streams: BTreeMap<u32, Stream>,
    /// Whether the client was seen to begin; not known before it says anything.
    is_whole: Option<bool>,
    /// When the server was heard first.
    heard_ns: Option<u64>,
    /// Something was lost, and no exchange has said so yet.
    lost: bool,
    /// Streams that were open at a loss may have ended in it: looked for again then.
    doubt_ns: Option<u64>,
    /// What came of streams since it was asked last.
    moves: Vec<Move>,
}

struct Stream {
    exchange: Exchange,
    /// The answer has begun, and what follows its head are trailers.
    answered: bool,
    /// When its last frame came.
    last_ns: u64,
}

impl Http2 {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// The request that HTTP/1 was left with is stream 1.
    pub(super) fn upgraded(&mut self, mut exchange: Exchange) {
        exchange.protocol = Protocol::Http2;
        exchange.attributes.set("network.protocol.version", "2");
        let last_ns = exchange.start_ns;
        self.is_whole = Some(true);
        self.streams.insert(1, Stream { exchange, answered: false, last_ns });
    }

    fn frame(
        &mut self,
        direction: Direction,
        frame: &Frame<'_>,
        began: u64,
        ts_ns: u64,
        out: &mut Vec<Exchange>,
    ) {
        match frame.kind {
            HEADERS | CONTINUATION | PUSH_PROMISE => {
                let side = match direction {
                    Direction::Request => &mut self.request,
                    Direction::Response => &mut self.response,
                };
                let Some(headers) = side.take(frame, began) else { return };
                match direction {
                    Direction::Request => self.asked(&headers, out),
                    Direction::Response => self.answered(&headers, ts_ns, out),
                }
            }
            DATA if direction == Direction::Request => self.goes_on(frame.stream),
            DATA => {
                self.goes_on(frame.stream);
                let Some(stream) = self.streams.get_mut(&frame.stream) else { return };
                stream.last_ns = ts_ns;
                stream.exchange.first_byte_ns.get_or_insert(ts_ns);
                if frame.has(END_STREAM) {
                    self.finish(frame.stream, ts_ns, out);
                }
            }
            RST_STREAM => self.reset(frame, ts_ns, out),
            _ => {}
        }
    }

    fn asked(&mut self, headers: &Headers, out: &mut Vec<Exchange>) {
        // What is there already has its trailers; servers do not open streams by HEADERS.
        if headers.stream.is_multiple_of(2) || self.streams.contains_key(&headers.stream) {
            return;
        }
        // Trailers of a request whose beginning was missed name no method.
        if headers.method.is_none() && headers.path.is_none() && !headers.unknown {
            return;
        }
        let mut exchange = Exchange::new(Protocol::Http2, headers.began);
        let path = headers.path.as_deref();
        http::request_line(&mut exchange, headers.method.as_deref(), path);
        exchange.attributes.push("network.protocol.name", "http");
        exchange.attributes.push("network.protocol.version", "2");
        for (name, value) in &headers.others {
            http::request_header(&mut exchange, name, value);
        }
        if headers.is_grpc() {
            http::grpc(&mut exchange, path);
        }
        exchange.truncated = headers.unknown;
        if self.streams.len() >= MAX_STREAMS
            && let Some((_, oldest)) = self.streams.pop_first()
        {
            self.lost = true;
            self.let_go(oldest, out);
        }
        let last_ns = headers.began;
        exchange.number = headers.stream;
        self.moved(Move { number: headers.stream, begins: Some((headers.began, exchange.trace)) });
        self.streams.insert(headers.stream, Stream { exchange, answered: false, last_ns });
    }

    /// More of a stream's request, or of its answer.
    fn goes_on(&mut self, stream: u32) {
        let is_said = self.moves.last().is_some_and(|last| last.number == stream);
        if !is_said && self.streams.contains_key(&stream) {
            self.moved(Move { number: stream, begins: None });
        }
    }

    fn moved(&mut self, one: Move) {
        if self.moves.len() < MAX_MOVES {
            self.moves.push(one);
        }
    }

    fn answered(&mut self, headers: &Headers, ts_ns: u64, out: &mut Vec<Exchange>) {
        self.goes_on(headers.stream);
        let Some(stream) = self.streams.get_mut(&headers.stream) else { return };
        stream.last_ns = ts_ns;
        let exchange = &mut stream.exchange;
        exchange.first_byte_ns.get_or_insert(headers.began);
        if !headers.end_stream && headers.status.is_some_and(|status| status < 200) {
            return;
        }
        if headers.is_grpc() && exchange.protocol != Protocol::Grpc {
            http::grpc(exchange, None);
        }
        if let Some(status) = headers.status
            && (exchange.protocol != Protocol::Grpc || status != 200)
        {
            http::status(exchange, status);
        }
        if let Some(code) = &headers.grpc_status
            && exchange.protocol == Protocol::Grpc
        {
            http::grpc_status(exchange, code);
        }
        let head_unknown = !stream.answered && headers.status.is_none();
        let code_unknown =
            exchange.protocol == Protocol::Grpc && headers.end_stream && headers.grpc_status.is_none();
        exchange.truncated |= headers.unknown && (head_unknown || code_unknown);
        stream.answered = true;
        if headers.end_stream {
            self.finish(headers.stream, ts_ns, out);
        }
    }

    /// A client that gives up is no failure of the server.
    fn reset(&mut self, frame: &Frame<'_>, ts_ns: u64, out: &mut Vec<Exchange>) {
        let Some(stream) = self.streams.get_mut(&frame.stream) else { return };
        let name = frame::error_name(frame.payload).unwrap_or("UNKNOWN_ERROR");
        if name != "NO_ERROR" {
            stream.exchange.failed |= name != "CANCEL";
            stream.exchange.error_type = Some(name.to_owned());
        }
        self.finish(frame.stream, ts_ns, out);
    }

    fn finish(&mut self, stream: u32, ts_ns: u64, out: &mut Vec<Exchange>) {
        if let Some(mut stream) = self.streams.remove(&stream) {
            stream.exchange.end_ns = ts_ns.max(stream.exchange.start_ns);
            stream.exchange.truncated |= stream.exchange.is_unseen();
            stream.exchange.at_least |= std::mem::take(&mut self.lost);
            out.push(stream.exchange);
        }
    }

    fn lose(&mut self, now_ns: u64) {
        self.lost = true;
        for stream in self.streams.values_mut() {
            stream.exchange.at_least = true;
        }
        if !self.streams.is_empty() {
            self.doubt_ns = Some(now_ns);
        }
    }

    /// Whether the answer may have come unseen: on a connection that was met in its middle, to a read inside a library that
    /// waited while the programs came, and is not seen when it returns.
    fn may_have_missed(&self, stream: &Stream) -> bool {
        self.is_whole == Some(false) && self.heard_ns.is_none_or(|heard| stream.exchange.start_ns <= heard)
    }

    /// A stream whose end was not seen.
    fn let_go(&mut self, mut stream: Stream, out: &mut Vec<Exchange>) {
        stream.exchange.unseen(Some(stream.last_ns));
        stream.exchange.at_least |= std::mem::take(&mut self.lost);
        out.push(stream.exchange);
    }

    /// Streams that were open at a loss, and of which nothing came since: their ends were among what was lost.
    fn clear_doubts(&mut self, now_ns: u64, out: &mut Vec<Exchange>) {
        if self.doubt_ns.is_none_or(|since| now_ns.saturating_sub(since) < DOUBT_NS) {
            return;
        }
        let is_over = |stream: &Stream| {
            stream.exchange.at_least && stream.answered && now_ns.saturating_sub(stream.last_ns) >= DOUBT_NS
        };
        let over: Vec<u32> =
            self.streams.iter().filter(|(_, stream)| is_over(stream)).map(|(number, _)| *number).collect();
        for number in over {
            if let Some(stream) = self.streams.remove(&number) {
                self.let_go(stream, out);
            }
        }
        let is_left = self.streams.values().any(|stream| stream.exchange.at_least && stream.answered);
        self.doubt_ns = is_left.then_some(now_ns);
    }
}

impl Http2 {
    /// Everything of one direction ends here.
    fn lose_side(&mut self, direction: Direction, now_ns: u64) {
        let side = self.side(direction);
        side.lose();
        side.frames.lose();
        side.is_told = false;
        self.lose(now_ns);
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Request => &mut self.request,
            Direction::Response => &mut self.response,
        }
    }

    /// What was lost may have been in either direction's header table. Its frames go on where records of them do.
    fn gap(&mut self, now_ns: u64) {
        for side in [&mut self.request, &mut self.response] {
            side.lose();
            side.frames.lose();
        }
        self.lose(now_ns);
    }

    fn read(&mut self, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        self.clear_doubts(chunk.ts_ns, out);
        let is_request = chunk.direction == Direction::Request;
        if is_request {
            // the preface; of a frame it would be a length that is none
            self.is_whole.get_or_insert(chunk.bytes.first() == Some(&b'P'));
        } else {
            self.heard_ns.get_or_insert(chunk.ts_ns);
        }
        let side = self.side(chunk.direction);
        let head = if side.is_told { frame::told_head } else { frame::head };
        let mut frames = std::mem::take(&mut side.frames);
        frames.push(chunk);
        while let Some(event) = frames.next(|bytes, unsure| head(bytes, is_request, unsure)) {
            match event {
                Event::Frame { bytes, began, .. } => {
                    if let Some(frame) = Frame::read(bytes) {
                        self.frame(chunk.direction, &frame, began, chunk.ts_ns, out);
                    }
                }
                Event::Lost => {
                    self.lose(chunk.ts_ns);
                    self.side(chunk.direction).lose();
                }
            }
        }
        self.side(chunk.direction).frames = frames;
    }
}

impl Decoder for Http2 {
    fn chunk(&mut self, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        if chunk.gap {
            self.gap(chunk.ts_ns);
        }
        if self.side(chunk.direction).is_told {
            // of a call of which the programs tell nothing there is nothing to read
            if chunk.bytes.is_empty() {
                return self.clear_doubts(chunk.ts_ns, out);
            }
            self.lose_side(chunk.direction, chunk.ts_ns);
        }
        self.read(chunk, out);
    }

    fn frames(&mut self, chunk: &Chunk<'_>, begins: bool, is_cut: bool, out: &mut Vec<Exchange>) {
        if chunk.gap {
            self.gap(chunk.ts_ns);
        }
        let side = self.side(chunk.direction);
        let goes_on =
            if begins { !side.is_told && side.frames.is_between() } else { side.is_told || chunk.gap };
        if !goes_on {
            self.lose_side(chunk.direction, chunk.ts_ns);
        }
        self.side(chunk.direction).is_told = true;
        self.read(&Chunk { total: chunk.bytes.len() as u64, gap: false, ..*chunk }, out);
        if is_cut {
            self.lose_side(chunk.direction, chunk.ts_ns);
        }
    }

    fn end(&mut self, ts_ns: u64, out: &mut Vec<Exchange>) {
        let open = std::mem::take(&mut self.streams);
        self.doubt_ns = None;
        for (_, mut stream) in open {
            if stream.answered {
                stream.exchange.unseen(Some(if stream.exchange.at_least { stream.last_ns } else { ts_ns }));
            } else if stream.exchange.at_least || self.may_have_missed(&stream) {
                stream.exchange.unseen(Some(stream.last_ns));
            } else {
                stream.exchange.unanswered(ts_ns);
            }
            stream.exchange.at_least |= std::mem::take(&mut self.lost);
            out.push(stream.exchange);
        }
    }

    fn open(&self) -> usize {
        self.streams.len()
    }

    fn moves(&mut self, into: &mut Vec<Move>) {
        into.append(&mut self.moves);
    }

    fn memory(&self) -> usize {
        let moves = self.moves.capacity() * size_of::<Move>();
        self.streams.len() * OPEN_BYTES + self.request.memory() + self.response.memory() + moves
    }
}

#[cfg(test)]
mod tests;
