//! Which server span is open on a thread: what the thread asks of others meanwhile, and what it logs, belongs to it.
//!
//! A thread that serves one request after the other has at most one open, and what it does then is that request's. Where a
//! process does otherwise (an event loop, tasks that wander between threads), what a thread does next is most likely about
//! what it has read last: that is its *turn*. Requests that it has read one after the other before it wrote anything have
//! their turns in that order. A turn is over when the thread waits. Of Go the goroutine says it (`tasks`), where it is known. Each
//! rule has its confidence, and what no rule tells stays open.

use std::collections::VecDeque;

use super::context::Context;
use super::hash::Table;

mod process;
mod streams;
mod tasks;
#[cfg(test)]
mod tests;

use process::{Open, Process};
use streams::Streams;
pub use streams::{Goroutine, Stream};
pub use tasks::Task;
use tasks::Tasks;

/// Most threads and processes that are known, and most spans of one of them.
const MOST_THREADS: usize = 16_384;
const MOST_OPEN: usize = 64;
/// Requests whose turn may come, of one thread.
const MOST_FRESH: usize = 64;
/// Spans whose end is remembered.
const MOST_ENDED: usize = 32_768;
/// A line so soon after the answer is still about the request.
const AFTER_NS: u64 = 2_000_000;

/// Of a thread that has only ever served one request at a time, and waits inside its calls.
const SURE: f64 = 0.95;
/// The same of one that waits by other means, as event loops do.
const POLLED: f64 = 0.85;
/// Of a thread whose last request was just answered.
const JUST_ENDED: f64 = 0.85;
/// By the turn of the one request that was read last.
const TURN: f64 = 0.7;
/// Of a thread, or of a process, that serves several, and has one open now.
const LIKELY: f64 = 0.6;
/// By the turns of several, or of those that have asked for nothing yet.
const IN_ORDER: f64 = 0.5;

/// A thread: its process, and its own number.
pub type Thread = (u32, u32);

/// What is open, by thread and by process.
#[derive(Debug, Default)]
pub struct Threads {
    threads: Table<Thread, Serving>,
    processes: Table<u32, Process>,
    /// When spans ended that ended lately.
    ended: Table<[u8; 8], u64>,
    tasks: Tasks,
    streams: Streams,
}

#[derive(Debug, Default)]
struct Serving {
    /// Read by this thread, and not answered to the end; whether the answer has begun.
    open: Vec<(Context, bool)>,
    /// Whose turn it is, and how sure that can be: what was read since the thread began to read.
    fresh: VecDeque<([u8; 8], f64)>,
    /// Something was written since.
    has_written: bool,
    /// Several were read since, so that their order matters.
    is_burst: bool,
    is_polled: bool,
    /// The last one that ended, if nothing was read since.
    ended: Option<(Context, u64)>,
    last_ns: u64,
}

impl Threads {
    /// A request arrived on this thread; `is_polled`: on a connection that nobody waits on inside a call.
    pub fn begin(&mut self, thread: Thread, context: Context, at_ns: u64, is_polled: bool) {
        if !self.has_room(thread) {
            return;
        }
        let process = self.processes.entry(thread.0).or_default();
        process.last_ns = at_ns;
        if process.open.len() < MOST_OPEN {
            process.open.push(Open { context, at_ns, has_asked: false, is_waiting: false });
        }
        let serving = self.threads.entry(thread).or_default();
        serving.last_ns = at_ns;
        serving.is_polled |= is_polled;
        serving.ended = None;
        // the end of a long answer is told late: one that goes on to the next request is done with it
        serving.open.retain(|(_, is_answered)| !is_answered);
        if serving.open.len() < MOST_OPEN {
            serving.open.push((context, false));
        }
        process.begun = process.begun.saturating_add(1);
        process.is_polled |= is_polled;
        if serving.open.len() > 1 {
            process.odd = process.odd.saturating_add(1);
            if !process.is_polled {
                // a thread that waits inside its calls is done with what it read before: the answer was not seen
                serving.open.drain(..serving.open.len() - 1);
            }
        }
        serving.read(context.span_id, 1.0);
    }

    /// The same of one of many streams on a connection, which are never a thread's alone.
    pub fn begin_stream(&mut self, thread: Thread, context: Context, at_ns: u64) {
        self.begin(thread, context, at_ns, true);
        if let Some(process) = self.processes.get_mut(&thread.0) {
            process.has_streams = true;
            process.odd = process.odd.max(1);
        }
    }

    /// The thread has read an answer to what this span asked, as sure as that is, or more of its request.
    pub fn read(&mut self, thread: Thread, span_id: [u8; 8], sure: f64) {
        let process = self.processes.get_mut(&thread.0);
        if let Some(open) = process.and_then(|process| process.find(span_id)) {
            open.is_waiting = false;
        }
        if let Some(serving) = self.threads.get_mut(&thread) {
            serving.ended = None;
            serving.read(span_id, sure);
        } else if self.is_open(thread.0, span_id) && self.has_room(thread) {
            self.threads.entry(thread).or_default().read(span_id, sure);
        }
    }

    /// The thread has written to a connection.
    pub fn wrote(&mut self, thread: Thread) {
        if let Some(serving) = self.threads.get_mut(&thread) {
            serving.has_written = true;
        }
    }

    /// The thread has waited for something since it last read, or has read what is nobody's: nobody has the turn.
    pub fn turn_over(&mut self, thread: Thread) {
        if let Some(serving) = self.threads.get_mut(&thread) {
            serving.fresh.clear();
            serving.is_burst = false;
        }
    }

    /// An answer to what was read by `thread` is written, by the thread `by`.
    pub fn answers(&mut self, thread: Thread, by: u32, span_id: [u8; 8]) {
        self.wrote((thread.0, by));
        if by != thread.1
            && let Some(process) = self.processes.get_mut(&thread.0)
        {
            process.odd = process.odd.saturating_add(1);
        }
        let open = self.threads.get_mut(&thread).and_then(|serving| serving.find(span_id));
        if let Some((_, is_answered)) = open {
            *is_answered = true;
        }
    }

    /// The answer to what was read by `thread` was sent.
    pub fn end(&mut self, thread: Thread, span_id: [u8; 8], at_ns: u64) {
        let Some(process) = self.processes.get_mut(&thread.0) else { return };
        process.open.retain(|open| open.context.span_id != span_id);
        process.has_unknown &= !process.open.is_empty();
        if self.ended.len() >= MOST_ENDED {
            self.ended.clear();
        }
        self.ended.insert(span_id, at_ns);
        let Some(serving) = self.threads.get_mut(&thread) else { return };
        let Some(at) = serving.open.iter().position(|(context, _)| context.span_id == span_id) else {
            return;
        };
        let (context, _) = serving.open.remove(at);
        serving.ended = serving.open.is_empty().then_some((context, at_ns));
    }

    /// What this thread asks for: as `serving`, and the turn is over where several have theirs.
    pub fn asks(&mut self, thread: Thread, at_ns: u64) -> Option<(Context, f64)> {
        let found = self.told(thread, at_ns);
        if found.is_none() && self.is_one_of_several(thread) {
            return self.asks_with_others(thread, at_ns);
        }
        if let (Some((context, _)), Some(serving)) = (found, self.threads.get_mut(&thread))
            && serving.is_burst
            && serving.fresh.front().is_some_and(|(span_id, _)| *span_id == context.span_id)
        {
            serving.fresh.pop_front();
        }
        self.has_asked(thread, found.map(|(context, _)| context.span_id));
        found.filter(|(_, sure)| self.is_trusted(thread.0, *sure))
    }

    /// What this thread asks for in one call with other requests, or for one of those that came in one: nobody's turn is
    /// known, unless one alone is open. Turns are believed no less for it.
    pub fn asks_with_others(&mut self, thread: Thread, at_ns: u64) -> Option<(Context, f64)> {
        self.wrote(thread);
        let process = self.processes.get_mut(&thread.0)?;
        let found = process.only_one(at_ns);
        match found.and_then(|context| process.find(context.span_id)) {
            Some(open) => (open.has_asked, open.is_waiting) = (true, true),
            None => process.has_unknown = true,
        }
        found.map(|context| (context, LIKELY))
    }

    /// Whether one of several streams has the turn, whose order says nothing: servers begin with any of them.
    fn is_one_of_several(&self, thread: Thread) -> bool {
        self.processes.get(&thread.0).is_some_and(|process| process.has_streams)
            && self.threads.get(&thread).is_some_and(|serving| serving.is_burst)
    }

    /// Something was asked, for this one of what is open.
    fn has_asked(&mut self, thread: Thread, of: Option<[u8; 8]>) {
        if let Some(process) = self.processes.get_mut(&thread.0) {
            process.asked(of.is_some());
        }
        self.asks_for(thread, of);
    }

    fn asks_for(&mut self, thread: Thread, of: Option<[u8; 8]>) {
        if let Some(process) = self.processes.get_mut(&thread.0) {
            match of.and_then(|span_id| process.find(span_id)) {
                Some(open) => (open.has_asked, open.is_waiting) = (true, true),
                None => process.has_unknown = true,
            }
        }
        self.wrote(thread);
    }

    /// What this thread serves, if that can be told, and how sure that is.
    pub fn serving(&self, thread: Thread, at_ns: u64) -> Option<(Context, f64)> {
        self.told(thread, at_ns).filter(|(_, sure)| self.is_trusted(thread.0, *sure))
    }

    /// Turns mean nothing where much is asked in nobody's: that comes of timers, or of other threads.
    fn is_trusted(&self, process: u32, sure: f64) -> bool {
        sure > TURN || self.processes.get(&process).is_none_or(Process::keeps_turns)
    }

    fn told(&self, thread: Thread, at_ns: u64) -> Option<(Context, f64)> {
        let process = self.processes.get(&thread.0)?;
        let serving = self.threads.get(&thread);
        if let Some(Serving { open, is_polled, .. }) = serving
            && let [(one, _)] = open.as_slice()
            && !process.is_mixed()
        {
            return Some((*one, if *is_polled { POLLED } else { SURE }));
        }
        let silent = process.silent(at_ns);
        if process.has_streams {
            let turn = serving.filter(|serving| !serving.is_burst).and_then(|serving| serving.turn(process));
            let turn = turn.map(|(turn, sure)| (turn, TURN.min(sure)));
            let only = || process.only_one(at_ns).map(|one| (one, LIKELY));
            return turn.or_else(only).or_else(|| silent.map(|silent| (silent, IN_ORDER)));
        }
        if let Some(serving) = serving
            && let Some((turn, sure)) = serving.turn(process)
        {
            if serving.is_burst {
                return Some((turn, IN_ORDER.min(sure)));
            }
            // one that waits for an answer may ask for more; one that has asked for nothing yet is as likely
            let is_waiting = process.get(turn.span_id).is_some_and(|open| open.is_waiting);
            return match silent {
                Some(silent) if is_waiting => Some((silent, IN_ORDER.min(sure))),
                _ => Some((turn, TURN.min(sure))),
            };
        }
        if let Some(Serving { open, .. }) = serving
            && let [(one, _)] = open.as_slice()
        {
            return Some((*one, LIKELY));
        }
        let only = process.only_one(at_ns).map(|one| (one, LIKELY));
        only.or_else(|| silent.map(|silent| (silent, IN_ORDER)))
    }

    /// What a line is about that this thread began to write at this time.
    pub fn logs(&self, thread: Thread, at_ns: u64) -> Option<(Context, f64)> {
        let process = self.processes.get(&thread.0)?;
        let serving = self.threads.get(&thread)?;
        if let Some((context, ended_ns)) = serving.ended
            && at_ns.saturating_sub(ended_ns) <= AFTER_NS
        {
            return Some((context, JUST_ENDED));
        }
        match serving.open.as_slice() {
            [(one, _)] if !process.is_mixed() => Some((*one, if serving.is_polled { POLLED } else { SURE })),
            // several were read: which one it is about is not known, nor what else the thread does meanwhile
            _ if serving.is_burst => None,
            _ if !process.keeps_turns() => None,
            _ => serving.turn(process).map(|(turn, sure)| (turn, LIKELY.min(sure))),
        }
    }

    /// Whether a span may have asked for something whose answer came at this time: it had not ended before.
    pub fn may_have_asked(&self, span_id: [u8; 8], answered_ns: u64) -> bool {
        self.ended.get(&span_id).is_none_or(|ended| *ended >= answered_ns)
    }

    /// Forgets threads that were quiet since before this time.
    pub fn forget(&mut self, before_ns: u64) {
        self.threads.retain(|_, serving| serving.last_ns >= before_ns);
        self.processes.retain(|_, process| process.last_ns >= before_ns);
        self.tasks.forget(before_ns);
        self.streams.forget(before_ns);
    }

    fn is_open(&self, process: u32, span_id: [u8; 8]) -> bool {
        self.processes.get(&process).is_some_and(|process| process.get(span_id).is_some())
    }

    fn has_room(&mut self, thread: Thread) -> bool {
        if self.threads.len() >= MOST_THREADS && !self.threads.contains_key(&thread) {
            self.threads.retain(|_, serving| !serving.open.is_empty());
        }
        if self.processes.len() >= MOST_THREADS && !self.processes.contains_key(&thread.0) {
            self.processes.retain(|_, process| !process.open.is_empty());
        }
        (self.threads.len() < MOST_THREADS || self.threads.contains_key(&thread))
            && (self.processes.len() < MOST_THREADS || self.processes.contains_key(&thread.0))
    }
}

impl Serving {
    fn read(&mut self, span_id: [u8; 8], sure: f64) {
        if std::mem::take(&mut self.has_written) {
            self.fresh.clear();
            self.is_burst = false;
        }
        let is_last = self.fresh.back().is_some_and(|(last, _)| *last == span_id);
        if !is_last && self.fresh.len() < MOST_FRESH {
            self.fresh.push_back((span_id, sure));
            self.is_burst |= self.fresh.len() > 1;
        }
    }

    fn find(&mut self, span_id: [u8; 8]) -> Option<&mut (Context, bool)> {
        self.open.iter_mut().find(|(context, _)| context.span_id == span_id)
    }

    /// The first one of those whose turn it is that is still open.
    fn turn(&self, process: &Process) -> Option<(Context, f64)> {
        self.fresh.iter().find_map(|(span_id, sure)| Some((process.get(*span_id)?.context, *sure)))
    }
}
