//! One connection: records in, exchanges out, each with its place in a trace.
//!
//! Records say how long the run before them was, so what the programs did not send is passed to the decoder as a length
//! without bytes; records that were lost show in their numbers, and become a gap.

use std::collections::VecDeque;

use agent_common::requests::{FLAG_POLLED, FLAG_WAITED, HTTP1, IN, OUT, is_closed_book};

use super::context::{Context, said};
use super::ids::Ids;
use super::protocol::{Chunk, Decoder, Direction, Exchange, NO_RESPONSE, Protocol, decoder};
use super::threads::{Thread, Threads};
use crate::decode::requests::Piece;

/// Most requests without an answer whose place in a trace is kept.
const MOST_OPEN: usize = 64;

/// A request whose exchange has not been given yet.
#[derive(Clone, Copy, Debug)]
struct Open {
    start_ns: u64,
    thread: Thread,
    context: Context,
    /// How sure it is that the thread's server span is the parent.
    confidence: Option<f64>,
    /// An exchange has it already: a second one of the same call needs a span of its own.
    is_used: bool,
}

/// An exchange, and where it stands.
#[derive(Debug)]
pub struct Placed {
    /// What was asked and answered.
    pub exchange: Exchange,
    /// The span.
    pub context: Context,
    /// How sure its parent is, where it was found by thread.
    pub confidence: Option<f64>,
    /// The thread that read or wrote the request.
    pub thread: Thread,
}

/// A connection that is decoded.
#[derive(Debug)]
pub struct Connection {
    decoder: Box<dyn Decoder>,
    is_client: bool,
    /// Number of the last record.
    sequence: u32,
    /// Direction of the run under way.
    direction: u8,
    /// Bytes of the run that the decoder knows of; `None` after a gap.
    told: Option<u64>,
    open: VecDeque<Open>,
    /// Who connected, until the first request.
    opener: Option<(Context, f64)>,
    /// When the last record came, on the boot clock.
    pub last_ns: u64,
}

impl Connection {
    /// One of which nothing was seen yet; `opener` is what the thread served that made it.
    pub fn new(protocol: Protocol, is_client: bool, opener: Option<(Context, f64)>) -> Self {
        Self {
            decoder: decoder(protocol),
            is_client,
            sequence: 0,
            direction: 0,
            told: None,
            open: VecDeque::new(),
            opener,
            last_ns: 0,
        }
    }

    /// Whether an answer is awaited, or under way.
    pub fn is_waiting(&self) -> bool {
        self.open.iter().any(|open| !open.is_used)
    }

    /// Takes the next record. True: records before it were lost.
    pub fn take(
        &mut self,
        piece: &Piece<'_>,
        threads: &mut Threads,
        ids: &mut Ids,
        out: &mut Vec<Placed>,
    ) -> bool {
        let header = &piece.header;
        let is_lost = !piece.is_datagram() && header.sequence > self.sequence.wrapping_add(1);
        self.sequence = self.sequence.max(header.sequence);
        self.last_ns = header.at_ns;
        if is_lost {
            self.told = None;
        }
        let mut exchanges = Vec::new();
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
            self.close(threads);
            return is_lost;
        }
        self.note(piece, threads);
        self.turn(piece, &mut exchanges);
        self.place(std::mem::take(&mut exchanges), threads, ids, out);
        if piece.is_request() && header.total > 0 {
            self.begin(piece, threads, ids);
        }
        self.feed(piece, is_lost, &mut exchanges);
        self.place(exchanges, threads, ids, out);
        is_lost
    }

    /// Whose turn it is on the thread, by what it reads; which thread answers.
    fn note(&self, piece: &Piece<'_>, threads: &mut Threads) {
        let header = &piece.header;
        let Some(first) = self.open.iter().find(|open| !open.is_used) else { return };
        match (self.is_client, header.direction) {
            (true, IN) => match first.context.parent {
                Some(parent) => {
                    threads.read((header.tgid, header.tid), parent, first.confidence.unwrap_or(1.0));
                }
                None => threads.turn_over((header.tgid, header.tid)),
            },
            (false, IN) => threads.read((header.tgid, header.tid), first.context.span_id, 1.0),
            (false, _) => threads.answers(first.thread, header.tid, first.context.span_id),
            // whose request it is is asked where it begins
            (true, _) => {}
        }
    }

    /// What the run under way has carried by now, where the programs send no more of it.
    pub fn grown(
        &mut self,
        total: u64,
        last_ns: u64,
        threads: &mut Threads,
        ids: &mut Ids,
        out: &mut Vec<Placed>,
    ) {
        let mut exchanges = Vec::new();
        self.rest(total, last_ns, &mut exchanges);
        self.place(exchanges, threads, ids, out);
    }

    /// It is forgotten though it may go on: whether what is open was answered will not be known.
    pub fn forget(&mut self, threads: &mut Threads, ids: &mut Ids, out: &mut Vec<Placed>) {
        let mut exchanges = Vec::new();
        self.decoder.end(self.last_ns, &mut exchanges);
        unsee(&mut exchanges);
        self.place(exchanges, threads, ids, out);
        self.close(threads);
    }

    /// Requests that wait for an answer, or whose answer is under way.
    pub fn waiting(&self) -> usize {
        self.decoder.open()
    }

    /// Bytes that it takes.
    pub fn memory(&self) -> usize {
        size_of_val(&*self.decoder) + self.decoder.memory() + self.open.capacity() * size_of::<Open>()
    }

    /// It is this late: a decoder that gives up what is not answered in time does so.
    pub fn pass(&mut self, now_ns: u64, threads: &mut Threads, ids: &mut Ids, out: &mut Vec<Placed>) {
        let mut exchanges = Vec::new();
        let chunk = Chunk { direction: Direction::Request, ts_ns: now_ns, bytes: &[], total: 0, gap: false };
        self.decoder.chunk(&chunk, &mut exchanges);
        self.place(exchanges, threads, ids, out);
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
        if total > told {
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
                Some(told) if header.before_total > told => {
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
        self.decoder.chunk(&Chunk { direction, ts_ns, bytes: piece.data, total: header.total, gap }, out);
    }

    /// A call of a request: the first one of its run decides where the request stands.
    fn begin(&mut self, piece: &Piece<'_>, threads: &mut Threads, ids: &mut Ids) {
        let header = &piece.header;
        let is_stream = agent_common::requests::is_stream(header.protocol);
        let is_later = header.run_calls > 1 && self.open.back().is_some_and(|open| !open.is_used);
        if is_later && !is_stream && !piece.is_datagram() {
            return;
        }
        let thread = (header.tgid, header.tid);
        let said = if header.protocol == HTTP1 { said(piece.data) } else { None };
        let (context, confidence) = if self.is_client {
            if header.flags & FLAG_WAITED != 0 {
                threads.turn_over(thread);
            }
            // a connection that was made for a request carries that one first, whoever has its turn by then
            let is_told = threads.serving(thread).is_some_and(|(_, sure)| sure > 0.8);
            let opener = self
                .opener
                .take()
                .filter(|(context, _)| !is_told && threads.may_have_asked(context.span_id, header.at_ns));
            if opener.is_some() {
                threads.wrote(thread);
            }
            let serving = opener.or_else(|| threads.asks(thread));
            let context = Context::of_client(said, serving.map(|(context, _)| context), ids);
            let is_joined = context.parent.is_some();
            (context, serving.filter(|_| is_joined).map(|(_, confidence)| confidence))
        } else {
            let context = Context::of_server(said, ids);
            // of many streams on one connection it is not known which one this is
            if !is_stream {
                threads.begin(thread, context, header.at_ns, header.flags & FLAG_POLLED != 0);
            }
            (context, None)
        };
        if self.open.len() >= MOST_OPEN
            && let Some(oldest) = self.open.pop_front()
        {
            threads.end(oldest.thread, oldest.context.span_id, header.at_ns);
        }
        let start_ns = header.start_ns;
        self.open.push_back(Open { start_ns, thread, context, confidence, is_used: false });
    }

    /// Gives each exchange the place that its request was given when it came.
    fn place(
        &mut self,
        exchanges: Vec<Exchange>,
        threads: &mut Threads,
        ids: &mut Ids,
        out: &mut Vec<Placed>,
    ) {
        for exchange in exchanges {
            // what is older and still open was not understood as a request
            let is_ordered = !matches!(
                exchange.protocol,
                Protocol::Http2 | Protocol::Grpc | Protocol::Kafka | Protocol::Dns
            );
            while is_ordered
                && let Some(first) = self.open.front()
                && (first.start_ns < exchange.start_ns)
            {
                threads.end(first.thread, first.context.span_id, exchange.start_ns);
                self.open.pop_front();
            }
            let found = self.open.iter_mut().find(|open| open.start_ns == exchange.start_ns);
            let Some(open) = found else {
                let context = Context::of_server(exchange.trace, ids);
                out.push(Placed { exchange, context, confidence: None, thread: (0, 0) });
                continue;
            };
            let mut context = open.context;
            if std::mem::replace(&mut open.is_used, true) {
                context.span_id = ids.span();
            }
            if !self.is_client {
                threads.end(open.thread, open.context.span_id, exchange.end_ns);
            }
            // one that was over before the answer came has not asked
            let mut confidence = open.confidence;
            if self.is_client
                && confidence.is_some_and(|sure| sure < 0.9)
                && context.parent.is_some_and(|parent| !threads.may_have_asked(parent, exchange.end_ns))
            {
                context = Context { trace_id: ids.trace(), parent: None, ..context };
                confidence = None;
            }
            // what its whole head says outweighs what its first bytes did not
            if let Some(trace) = exchange.trace
                && trace.trace_id != context.trace_id
            {
                context = if self.is_client {
                    Context { trace_id: trace.trace_id, span_id: trace.span_id, parent: None }
                } else {
                    Context { trace_id: trace.trace_id, parent: Some(trace.span_id), ..context }
                };
            }
            out.push(Placed { exchange, context, confidence, thread: open.thread });
        }
        // a run of several requests keeps its place until the next run begins
        while self.open.len() > 1 && self.open.front().is_some_and(|open| open.is_used) {
            self.open.pop_front();
        }
        if self.open.len() == 1 && self.open.front().is_some_and(|open| open.is_used && self.told.is_none()) {
            self.open.clear();
        }
    }

    fn close(&mut self, threads: &mut Threads) {
        for open in self.open.drain(..) {
            threads.end(open.thread, open.context.span_id, self.last_ns);
        }
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
