//! Goroutines that serve streams of HTTP/2, and streams that these have opened on connections to other servers.
//!
//! Who serves a stream is told after its request was read, always: it is on its connection by then. Who has opened one is told
//! when that has its number, and another goroutine may have written the request by then or may write it later: so it is
//! looked for on the connection first (`Connection::opened`), and kept here where it is early. What is kept is keyed by
//! what no later goroutine, connection or stream has again.

use super::{Context, SURE, Threads};
use crate::requests::hash::Table;

/// Most goroutines that serve, and most streams whose request was not seen yet.
const MOST: usize = 16_384;
/// Those are looked at again when there is no room, this much later at the earliest, and go when they are this old.
const EARLY_NS: u64 = 1_000_000_000;

/// A goroutine: its process, and its number.
pub type Goroutine = (u32, u64);

/// A stream: its connection's key and when that was met, and its number.
pub type Stream = (u64, u64, u32);

#[derive(Debug, Default)]
pub(super) struct Streams {
    serving: Table<Goroutine, (Context, u64)>,
    opened: Table<Stream, (Context, u64)>,
    looked_ns: u64,
    /// What there was no room for, since it was asked last.
    beyond: u64,
}

impl Threads {
    /// A goroutine begins to serve a stream.
    pub fn serves_stream(&mut self, goroutine: Goroutine, context: Context, at_ns: u64) {
        let Streams { serving, beyond, .. } = &mut self.streams;
        if serving.len() < MOST || serving.contains_key(&goroutine) {
            serving.insert(goroutine, (context, at_ns));
        } else {
            *beyond += 1;
        }
    }

    /// That stream is answered.
    pub fn serves_stream_no_more(&mut self, goroutine: Goroutine, span_id: [u8; 8]) {
        let serving = &mut self.streams.serving;
        if serving.get(&goroutine).is_some_and(|(context, _)| context.span_id == span_id) {
            serving.remove(&goroutine);
        }
    }

    /// What a goroutine serves.
    pub fn served_by(&self, goroutine: Goroutine) -> Option<Context> {
        self.streams.serving.get(&goroutine).map(|(context, _)| *context)
    }

    /// A stream was opened for this one; its request was not seen yet.
    pub fn opens_early(&mut self, stream: Stream, context: Context, at_ns: u64) {
        let Streams { opened, looked_ns, beyond, .. } = &mut self.streams;
        if opened.len() >= MOST && at_ns.saturating_sub(*looked_ns) >= EARLY_NS {
            *looked_ns = at_ns;
            opened.retain(|_, (_, since)| at_ns.saturating_sub(*since) < EARLY_NS);
        }
        if opened.len() < MOST {
            opened.insert(stream, (context, at_ns));
        } else {
            *beyond += 1;
        }
    }

    /// The request of a stream begins: whom it was opened for, where that was told already.
    pub fn opened(&mut self, stream: Stream) -> Option<(Context, f64)> {
        let (context, _) = self.streams.opened.remove(&stream)?;
        Some((context, SURE))
    }

    /// This one has asked for something; it says nothing of whether turns can be believed.
    pub fn opened_for(&mut self, process: u32, context: Context) -> f64 {
        let process = self.processes.get_mut(&process);
        if let Some(open) = process.and_then(|process| process.find(context.span_id)) {
            (open.has_asked, open.is_waiting) = (true, true);
        }
        SURE
    }

    /// How much there was no room for, since this was asked last.
    pub fn beyond(&mut self) -> u64 {
        std::mem::take(&mut self.streams.beyond)
    }
}

impl Streams {
    /// What is older is nobody's any more.
    pub(super) fn forget(&mut self, before_ns: u64) {
        self.serving.retain(|_, (_, since)| *since >= before_ns);
        self.opened.retain(|_, (_, since)| *since >= before_ns);
    }
}
