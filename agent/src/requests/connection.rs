//! One connection: records in, exchanges out, each with its place in a trace.
//!
//! Records say how long the run before them was, so what the programs did not send is passed to the decoder as a length
//! without bytes; records that were lost show in their numbers, and become a gap.

mod places;
mod streams;

use agent_common::requests::{
    FLAG_BEGINS, FLAG_CUT, FLAG_FRAMES, FLAG_POLLED, FLAG_WAITED, HTTP1, HTTP2, Header, IN, OUT,
    is_closed_book, lane,
};
use agent_common::tls::PLAINTEXT;

use super::context::Context;
use super::ids::Ids;
use super::protocol::{
    Chunk, Decoder, Direction, Exchange, NO_RESPONSE, Names, Protocol, TraceContext, decoder_among, infer,
};
use super::threads::Threads;
use crate::decode::requests::Piece;

pub use places::{Ended, Placed};
use places::{Open, Places};
pub use streams::When;

/// Requests of a pipeline follow each other sooner.
const PIPELINE_NS: u64 = 1_000_000;
/// What Go's server waits with for the next request.
const ONE_BYTE: u64 = 1;

/// A connection that is decoded.
#[derive(Debug)]
pub struct Connection {
    decoder: Box<dyn Decoder>,
    is_client: bool,
    /// Numbers of the last records of each lane; not known of one where this was met in its middle.
    sequences: [Option<u32>; 2],
    /// Direction of the run under way.
    direction: u8,
    /// Bytes of the run that the decoder knows of; `None` after a gap.
    told: Option<u64>,
    places: Places,
    /// Who connected, until the first request.
    opener: Option<(Context, f64)>,
    /// Something of an answer was seen.
    has_answered: bool,
    /// The programs walk its frames: what they do not tell, nobody reads.
    is_walked: bool,
    /// The largest number of a stream that has begun.
    last_stream: u32,
    /// When the last record came, on the boot clock.
    pub last_ns: u64,
}

impl Connection {
    /// One of which nothing was seen yet; `names` are what others have learnt, `opener` is what the thread served that made it.
    pub fn new(protocol: Protocol, names: &Names, is_client: bool, opener: Option<(Context, f64)>) -> Self {
        Self {
            decoder: decoder_among(protocol, names),
            is_client,
            sequences: [Some(0); 2],
            direction: 0,
            told: None,
            places: Places::new(is_client),
            opener,
            has_answered: false,
            is_walked: false,
            last_stream: 0,
            last_ns: 0,
        }
    }

    /// Whether an answer is awaited, or under way.
    pub fn is_waiting(&self) -> bool {
        self.places.is_waiting()
    }

    /// Whether records before this one were lost: of what goes its way where that is a stream, else of all.
    fn has_lost(&mut self, header: &Header, is_end: bool) -> bool {
        if is_end {
            let [Some(one), Some(other)] = self.sequences else { return false };
            return header.sequence > one.wrapping_add(other).wrapping_add(1);
        }
        let lane = lane(header.protocol, header.direction);
        let [one, other] = &mut self.sequences;
        let (own, other) = if lane == 0 { (one, other) } else { (other, one) };
        let before = own.replace(header.sequence.max(own.unwrap_or(0)));
        let is_lost = before.is_some_and(|before| header.sequence > before.wrapping_add(1));
        // one that was forgotten here and is met again: what goes the other way has its number already, and is not lost
        if is_lost && before == Some(0) && header.protocol == HTTP2 && *other == Some(0) {
            *other = None;
        }
        is_lost
    }

    /// Takes the next record. True: records before it were lost.
    pub fn take(&mut self, piece: &Piece<'_>, threads: &mut Threads, ids: &mut Ids, out: &mut Ended) -> bool {
        let header = &piece.header;
        let is_lost = !piece.is_datagram() && self.has_lost(header, piece.is_end());
        let is_next = self.has_missed_answer(piece);
        self.last_ns = header.at_ns;
        if is_lost || is_next {
            self.told = None;
        }
        let mut exchanges = std::mem::take(&mut out.exchanges);
        if piece.is_end() {
            self.rest(header.before_total, header.before_ns, &mut exchanges);
            let is_answered = self.is_request(self.direction) == Some(false);
            let end_ns = if is_answered { header.before_ns } else { header.at_ns };
            self.decoder.end(end_ns, &mut exchanges);
            // given up, not ended; or an answer had come that the client did not read, whose FIN counts as one byte
            if is_closed_book(header.protocol) || self.is_client && header.total > 1 {
                unsee(&mut exchanges);
            }
            self.place(exchanges, threads, ids, out);
            self.places.close(self.last_ns, threads);
            threads.hands_no_more(header.socket & !PLAINTEXT);
            return is_lost;
        }
        self.is_walked = header.flags & FLAG_FRAMES != 0;
        self.note(piece, threads);
        self.turn(piece, &mut exchanges);
        self.placed(&mut exchanges, threads, ids, out);
        let has_streams = header.protocol == HTTP2;
        // a server may speak in the middle of a request (`100 Continue`): what follows is no other one
        let goes_on = header.protocol == HTTP1
            && !(is_lost || is_next)
            && self.decoder.goes_on(piece.data, header.total);
        if piece.is_request() && header.total > 0 && !has_streams && !goes_on {
            self.begin(piece, is_next, threads, ids);
        }
        self.has_answered |= !piece.is_end() && !piece.is_request();
        self.feed(piece, is_lost || is_next, &mut exchanges);
        let mut moves = Vec::new();
        self.decoder.moves(&mut moves);
        if has_streams && !moves.is_empty() {
            self.moved(piece, &moves, threads, ids);
        }
        self.place(exchanges, threads, ids, out);
        is_lost
    }

    /// Whether the answer to what was asked before has come unseen. A read inside a library that waits while the programs come
    /// is not seen when it returns: then the next request seems to follow the first one, as in a pipeline, but late.
    fn has_missed_answer(&self, piece: &Piece<'_>) -> bool {
        let header = &piece.header;
        header.socket & PLAINTEXT != 0
            && header.protocol == HTTP1
            && self.is_client
            && !self.has_answered
            && header.run_calls > 1
            && self.is_waiting()
            && header.start_ns.saturating_sub(self.last_ns) > PIPELINE_NS
            && infer(piece.data) == Some((Protocol::Http1, Direction::Request))
    }

    /// Whose turn it is on the thread, by what it reads; which thread answers.
    fn note(&mut self, piece: &Piece<'_>, threads: &mut Threads) {
        let header = &piece.header;
        if header.protocol == HTTP2 {
            return;
        }
        let Some(first) = self.places.first_waiting() else { return };
        match (self.is_client, header.direction) {
            (true, IN) => match first.context.parent {
                Some(parent) => {
                    threads.read((header.tgid, header.tid), parent, first.confidence.unwrap_or(1.0));
                }
                None => threads.turn_over((header.tgid, header.tid)),
            },
            (false, IN) => {
                threads.read((header.tgid, header.tid), first.context.span_id, 1.0);
                // Go's server waits for the next request with one byte in a goroutine of its own; who reads more of what
                // another one has begun, as a body that is passed on, does not serve it
                let is_begun_alone = header.run_calls > 1 && header.before_total <= ONE_BYTE;
                if is_begun_alone {
                    first.task = header.task;
                    threads.serves((header.tgid, header.task), first.context, header.at_ns);
                }
            }
            (false, _) => threads.answers(first.thread, header.tid, first.context.span_id),
            // whose request it is is asked where it begins
            (true, _) => {}
        }
    }

    /// What the run under way has carried by now, where the programs send no more of it.
    pub fn grown(&mut self, total: u64, last_ns: u64, threads: &mut Threads, ids: &mut Ids, out: &mut Ended) {
        let mut exchanges = std::mem::take(&mut out.exchanges);
        self.rest(total, last_ns, &mut exchanges);
        self.place(exchanges, threads, ids, out);
    }

    /// It is forgotten though it may go on: whether what is open was answered will not be known.
    pub fn forget(&mut self, threads: &mut Threads, ids: &mut Ids, out: &mut Ended) {
        let mut exchanges = std::mem::take(&mut out.exchanges);
        self.decoder.end(self.last_ns, &mut exchanges);
        unsee(&mut exchanges);
        self.place(exchanges, threads, ids, out);
        self.places.close(self.last_ns, threads);
    }

    /// Requests that wait for an answer, or whose answer is under way.
    pub fn waiting(&self) -> usize {
        self.decoder.open()
    }

    /// Bytes that it takes.
    pub fn memory(&self) -> usize {
        size_of_val(&*self.decoder) + self.decoder.memory() + self.places.memory()
    }

    /// It is this late: a decoder that gives up what is not answered in time does so.
    pub fn pass(&mut self, now_ns: u64, threads: &mut Threads, ids: &mut Ids, out: &mut Ended) {
        let mut exchanges = std::mem::take(&mut out.exchanges);
        let chunk = Chunk { direction: Direction::Request, ts_ns: now_ns, bytes: &[], total: 0, gap: false };
        self.decoder.chunk(&chunk, &mut exchanges);
        self.place(exchanges, threads, ids, out);
    }

    /// Gives the last exchanges of a record their places, and their room back.
    fn place(&mut self, mut exchanges: Vec<Exchange>, threads: &mut Threads, ids: &mut Ids, out: &mut Ended) {
        self.placed(&mut exchanges, threads, ids, out);
        out.exchanges = exchanges;
    }

    /// Gives each exchange the place that its request was given when it came.
    fn placed(
        &mut self,
        exchanges: &mut Vec<Exchange>,
        threads: &mut Threads,
        ids: &mut Ids,
        out: &mut Ended,
    ) {
        self.places.place(exchanges, threads, ids, out);
        if self.told.is_none() {
            self.places.forget_used();
        }
    }

    fn is_request(&self, direction: u8) -> Option<bool> {
        match direction {
            IN => Some(!self.is_client),
            OUT => Some(self.is_client),
            _ => None,
        }
    }

    /// Tells the decoder of bytes of the run under way that it was not shown.
    fn rest(&mut self, total: u64, ts_ns: u64, out: &mut Vec<Exchange>) {
        let (Some(told), Some(is_request)) = (self.told, self.is_request(self.direction)) else { return };
        if total > told && !self.is_walked {
            self.told = Some(total);
            let chunk =
                Chunk { direction: way(is_request), ts_ns, bytes: &[], total: total - told, gap: false };
            self.decoder.chunk(&chunk, out);
        }
    }

    /// The run before ends with the first record of another; bytes of this one may have gone by before its first record.
    fn turn(&mut self, piece: &Piece<'_>, out: &mut Vec<Exchange>) {
        let header = &piece.header;
        let is_first = header.run_calls <= 1;
        if is_first || self.direction != header.direction {
            if is_first {
                self.rest(header.before_total, header.before_ns, out);
            }
            self.direction = header.direction;
            self.told = Some(0);
        }
    }

    fn feed(&mut self, piece: &Piece<'_>, is_lost: bool, out: &mut Vec<Exchange>) {
        let header = &piece.header;
        let direction = way(piece.is_request());
        // a write counts from its begin: what it wakes at the other end may run before it ends
        let ts_ns = header.start_ns;
        let mut gap = is_lost;
        if header.run_calls > 1 {
            match self.told {
                Some(told) if header.before_total > told && !self.is_walked => {
                    let total = header.before_total - told;
                    self.decoder.chunk(&Chunk { direction, ts_ns, bytes: piece.head, total, gap }, out);
                    gap = false;
                }
                Some(_) => {}
                None => gap = true,
            }
        }
        let before = if header.run_calls > 1 { header.before_total } else { 0 };
        self.told = Some(before.saturating_add(header.total));
        let chunk = Chunk { direction, ts_ns, bytes: piece.data, total: header.total, gap };
        if self.is_walked {
            let (begins, is_cut) = (header.flags & FLAG_BEGINS != 0, header.flags & FLAG_CUT != 0);
            return self.decoder.frames(&chunk, begins, is_cut, out);
        }
        self.decoder.chunk(&chunk, out);
    }

    /// A call of a request: the first one of its run decides where the request stands; `is_next`: it is another one's.
    fn begin(&mut self, piece: &Piece<'_>, is_next: bool, threads: &mut Threads, ids: &mut Ids) {
        let header = &piece.header;
        let is_stream = agent_common::requests::is_stream(header.protocol);
        let is_later = !is_next && header.run_calls > 1 && self.places.is_last_waiting();
        if is_later && !is_stream && !piece.is_datagram() {
            return;
        }
        let thread = (header.tgid, header.tid);
        let said = self.decoder.said(piece.data);
        let (context, confidence) = if self.is_client {
            if header.flags & FLAG_WAITED != 0 {
                threads.turn_over(thread);
            }
            self.asks(header, said, true, threads, ids)
        } else {
            let context = Context::of_server(said, ids);
            // of several requests in one call it is not known which one this is
            if !is_stream {
                threads.begin(thread, context, header.at_ns, header.flags & FLAG_POLLED != 0);
                // the goroutine that waits for one byte is over with it, and its struct may be another's at once
                if header.total > ONE_BYTE {
                    threads.serves((header.tgid, header.task), context, header.at_ns);
                }
            }
            (context, None)
        };
        let (start_ns, task) = (header.start_ns, header.task);
        let open = Open {
            number: 0,
            start_ns,
            thread,
            task,
            goroutine: 0,
            said,
            context,
            confidence,
            is_used: false,
        };
        self.places.keep(open, header.at_ns, threads);
    }

    /// Where a client's request stands: the child of what its thread serves, if that can be told, and how sure that is;
    /// `is_alone`: its call carries no other one.
    fn asks(
        &mut self,
        header: &Header,
        said: Option<TraceContext>,
        is_alone: bool,
        threads: &mut Threads,
        ids: &mut Ids,
    ) -> (Context, Option<f64>) {
        let thread = (header.tgid, header.tid);
        let socket = header.socket & !PLAINTEXT;
        if let Some((serving, sure)) = threads.asks_by_task(thread, header.task, socket, header.at_ns) {
            self.opener = None;
            let context = Context::of_client(said, Some(serving), ids);
            return (context, context.parent.map(|_| sure));
        }
        // a connection that was made for a request carries that one first, whoever has its turn by then
        let is_told = threads.serving(thread, header.at_ns).is_some_and(|(_, sure)| sure > 0.8);
        let opener = self
            .opener
            .take()
            .filter(|(context, _)| !is_told && threads.may_have_asked(context.span_id, header.at_ns))
            .filter(|_| is_alone);
        if opener.is_some() {
            threads.wrote(thread);
        }
        let serving = opener.or_else(|| match is_alone {
            true => threads.asks(thread, header.at_ns),
            false => threads.asks_with_others(thread, header.at_ns),
        });
        let context = Context::of_client(said, serving.map(|(context, _)| context), ids);
        let is_joined = context.parent.is_some();
        (context, serving.filter(|_| is_joined).map(|(_, confidence)| confidence))
    }
}

/// What nobody answered may have been answered after all.
fn unsee(exchanges: &mut [Exchange]) {
    for exchange in exchanges.iter_mut().filter(|one| one.error_type.as_deref() == Some(NO_RESPONSE)) {
        exchange.failed = false;
        exchange.error_type = None;
        exchange.unseen(None);
    }
}

fn way(is_request: bool) -> Direction {
    if is_request { Direction::Request } else { Direction::Response }
}
