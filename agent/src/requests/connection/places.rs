//! The places in a trace of a connection's requests, kept from when one comes until its exchange is given.

use std::collections::VecDeque;

use crate::requests::context::Context;
use crate::requests::ids::Ids;
use crate::requests::protocol::{Exchange, Protocol, TraceContext};
use crate::requests::threads::{Thread, Threads};

/// Most requests without an answer whose place is kept.
const MOST_OPEN: usize = 64;
/// The same of streams: as many as the decoder follows.
const MOST_STREAMS: usize = 512;

/// A request whose exchange has not been given yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    /// As `Exchange::number`; 0 where requests have none.
    pub(super) number: u32,
    /// When it began, on the boot clock.
    pub(super) start_ns: u64,
    /// Who has read or written it.
    pub(super) thread: Thread,
    /// As `Header.task`, of who has read it last; of a stream of who serves it, if that is known.
    pub(super) task: u64,
    /// The number of that one, of a stream; 0: not known.
    pub(super) goroutine: u64,
    /// What it says of its trace.
    pub(super) said: Option<TraceContext>,
    /// Its place.
    pub(super) context: Context,
    /// How sure it is that the thread's server span is the parent.
    pub(super) confidence: Option<f64>,
    /// An exchange has it already: a second one of the same call needs a span of its own.
    pub(super) is_used: bool,
}

impl Open {
    fn end(&self, threads: &mut Threads, at_ns: u64) {
        threads.end(self.thread, self.context.span_id, at_ns);
        threads.serves_no_more((self.thread.0, self.task), self.context.span_id);
        if self.goroutine != 0 {
            threads.serves_stream_no_more((self.thread.0, self.goroutine), self.context.span_id);
        }
    }
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

/// What ended, and the room for what is on its way there: each record would have to make it anew.
#[derive(Debug, Default)]
pub struct Ended {
    /// In their order.
    pub placed: Vec<Placed>,
    /// Empty between two records.
    pub(super) exchanges: Vec<Exchange>,
}

/// The requests of one connection that are open, oldest first.
#[derive(Debug)]
pub(super) struct Places {
    open: VecDeque<Open>,
    is_client: bool,
}

impl Places {
    /// None; `is_client`: this end of the connection asks.
    pub(super) fn new(is_client: bool) -> Self {
        Self { open: VecDeque::new(), is_client }
    }

    /// Whether an answer is awaited, or under way.
    pub(super) fn is_waiting(&self) -> bool {
        self.open.iter().any(|open| !open.is_used)
    }

    /// The oldest one whose answer is.
    pub(super) fn first_waiting(&mut self) -> Option<&mut Open> {
        self.open.iter_mut().find(|open| !open.is_used)
    }

    /// Whether the newest one waits.
    pub(super) fn is_last_waiting(&self) -> bool {
        self.open.back().is_some_and(|open| !open.is_used)
    }

    /// That of a stream.
    pub(super) fn of_stream(&mut self, number: u32) -> Option<&mut Open> {
        self.open.iter_mut().find(|open| open.number == number)
    }

    /// Bytes that they take.
    pub(super) fn memory(&self) -> usize {
        self.open.capacity() * size_of::<Open>()
    }

    /// Keeps a request's place until it is answered; of too many the oldest one's is given up.
    pub(super) fn keep(&mut self, open: Open, at_ns: u64, threads: &mut Threads) {
        let most = if open.number == 0 { MOST_OPEN } else { MOST_STREAMS };
        if self.open.len() >= most
            && let Some(oldest) = self.open.pop_front()
        {
            oldest.end(threads, at_ns);
        }
        self.open.push_back(open);
    }

    /// Gives each exchange the place that its request was given when it came.
    pub(super) fn place(
        &mut self,
        exchanges: &mut Vec<Exchange>,
        threads: &mut Threads,
        ids: &mut Ids,
        out: &mut Ended,
    ) {
        for exchange in exchanges.drain(..) {
            // what is older and still open was not understood as a request
            let is_ordered = !matches!(
                exchange.protocol,
                Protocol::Http2 | Protocol::Grpc | Protocol::Kafka | Protocol::Dns
            );
            while is_ordered
                && let Some(first) = self.open.front()
                && (first.start_ns < exchange.start_ns)
            {
                first.end(threads, exchange.start_ns);
                self.open.pop_front();
            }
            let is_its = |open: &Open| {
                open.start_ns == exchange.start_ns && (open.number == 0 || open.number == exchange.number)
            };
            let found = self.open.iter().position(is_its);
            let Some((at, open)) = found.and_then(|at| Some((at, self.open.get_mut(at)?))) else {
                let context = Context::of_server(exchange.trace, ids);
                out.placed.push(Placed { exchange, context, confidence: None, thread: (0, 0) });
                continue;
            };
            let mut context = open.context;
            if std::mem::replace(&mut open.is_used, true) {
                context.span_id = ids.span();
            }
            let open = *open;
            // a stream has no second answer
            if open.number != 0 {
                self.open.remove(at);
            }
            if !self.is_client {
                open.end(threads, exchange.end_ns);
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
            out.placed.push(Placed { exchange, context, confidence, thread: open.thread });
        }
        // a run of several requests keeps its place until the next run begins
        while self.open.len() > 1 && self.open.front().is_some_and(|open| open.is_used) {
            self.open.pop_front();
        }
    }
    /// The run that the last one came with is over: it has no second exchange.
    pub(super) fn forget_used(&mut self) {
        if self.open.len() == 1 && self.open.front().is_some_and(|open| open.is_used) {
            self.open.clear();
        }
    }

    /// Gives up all that are open.
    pub(super) fn close(&mut self, at_ns: u64, threads: &mut Threads) {
        for open in self.open.drain(..) {
            open.end(threads, at_ns);
        }
    }
}
