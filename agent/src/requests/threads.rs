//! Which server span is open on a thread: what the thread asks of others meanwhile belongs to it.
//!
//! A thread that serves one request after the other has at most one open, and what it asks then is that request's. Where
//! several are open (an event loop) nobody can tell, and nothing is joined; a thread that ever had several is trusted less.

use std::collections::HashMap;

use super::context::Context;

/// Most threads with an open span, and most spans of one thread.
const MOST_THREADS: usize = 16_384;
const MOST_OPEN: usize = 64;

/// Of a thread that has only ever served one request at a time.
const SURE: &str = "0.95";
/// Of a thread that serves several, and has one open now.
const LIKELY: &str = "0.6";

/// A thread: its process, and its own number.
pub type Thread = (u32, u32);

/// What is open, by thread.
#[derive(Debug, Default)]
pub struct Threads {
    open: HashMap<Thread, Serving>,
}

#[derive(Debug, Default)]
struct Serving {
    open: Vec<Context>,
    is_loop: bool,
    last_ns: u64,
}

impl Threads {
    /// A request arrived on this thread.
    pub fn begin(&mut self, thread: Thread, context: Context, at_ns: u64) {
        if self.open.len() >= MOST_THREADS && !self.open.contains_key(&thread) {
            self.open.retain(|_, serving| !serving.open.is_empty());
            if self.open.len() >= MOST_THREADS {
                return;
            }
        }
        let serving = self.open.entry(thread).or_default();
        serving.last_ns = at_ns;
        if serving.open.len() < MOST_OPEN {
            serving.open.push(context);
        }
        serving.is_loop |= serving.open.len() > 1;
    }

    /// Its answer was sent.
    pub fn end(&mut self, thread: Thread, span_id: [u8; 8]) {
        let Some(serving) = self.open.get_mut(&thread) else { return };
        serving.open.retain(|context| context.span_id != span_id);
    }

    /// What this thread serves, if that can be told, and how sure that is.
    pub fn serving(&self, thread: Thread) -> Option<(Context, &'static str)> {
        let serving = self.open.get(&thread)?;
        match serving.open.as_slice() {
            [one] => Some((*one, if serving.is_loop { LIKELY } else { SURE })),
            _ => None,
        }
    }

    /// Forgets threads that were quiet since before this time.
    pub fn forget(&mut self, before_ns: u64) {
        self.open.retain(|_, serving| serving.last_ns >= before_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::{Context, LIKELY, SURE, Threads};

    fn context(number: u8) -> Context {
        Context { trace_id: [number; 16], span_id: [number; 8], parent: None }
    }

    #[test]
    fn what_a_thread_asks_belongs_to_the_one_request_that_it_serves() {
        let mut threads = Threads::default();
        let thread = (10, 11);
        assert!(threads.serving(thread).is_none());
        threads.begin(thread, context(1), 5);
        assert_eq!(threads.serving(thread), Some((context(1), SURE)));
        assert!(threads.serving((10, 12)).is_none());
        threads.end(thread, [1; 8]);
        assert!(threads.serving(thread).is_none());
    }

    #[test]
    fn of_several_none_can_be_told_and_the_thread_is_trusted_less_from_then_on() {
        let mut threads = Threads::default();
        let thread = (10, 11);
        threads.begin(thread, context(1), 5);
        threads.begin(thread, context(2), 6);
        assert!(threads.serving(thread).is_none());
        threads.end(thread, [1; 8]);
        assert_eq!(threads.serving(thread), Some((context(2), LIKELY)));
        threads.forget(7);
        assert!(threads.serving(thread).is_none());
    }
}
