//! Lines of logs find the span of the request that was served while they were written.
//!
//! In: chunks of the log reader, and what the requests probe saw threads write (`requests::written`). Out: the same
//! chunks; a line that carries no trace of its own gets trace, span and `wake.join.confidence`.
//! A line may be read before the write that made it is told: a chunk waits, a few ticks of the probe's ring and never
//! long, and only where a log has had such lines or may have.

use std::collections::HashMap;
use std::time::Duration;

use daemon::clock::Clock;
use proto::v1::Identity;

use crate::export::writer::NameOwner;
use crate::logs::record::{Chunk, LogRecord, SourceKey};
use crate::requests::ids::hex;
use crate::requests::span::shown;
use crate::requests::written::{Line, Written};
use crate::window::sample::Owner;

#[cfg(test)]
mod tests;

/// The longest wait for what was written, and the step of it.
const LONGEST: Duration = Duration::from_millis(500);
const STEP: Duration = Duration::from_millis(10);
/// A record is sent a little after its line can be read.
const SETTLE_NS: u64 = 20_000_000;
/// Lines without a span after which a log is not waited for until one has one again.
const MOST_ALONE: u32 = 4_096;
/// Most logs that are told apart.
const MOST_SOURCES: usize = 8_192;

/// Joins chunks, one after the other.
pub struct LogJoin {
    written: Written,
    name: NameOwner,
    clock: Clock,
    /// Lines of each log since the last one with a span.
    alone: HashMap<SourceKey, u32>,
    is_stopping: bool,
}

impl std::fmt::Debug for LogJoin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LogJoin").finish_non_exhaustive()
    }
}

impl LogJoin {
    /// `name` names owners, as for the rows themselves.
    pub fn new(written: Written, name: NameOwner, clock: Clock) -> Self {
        Self { written, name, clock, alone: HashMap::new(), is_stopping: false }
    }

    /// From now on nothing waits.
    pub fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// The time by which `ready` measures.
    pub fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Waits until what these lines were written by was seen.
    /// `since` is when they were read: who waits may be asked anew many times meanwhile.
    pub async fn ready(&self, chunk: &Chunk, since: Duration) {
        if self.is_stopping || !self.written.is_on() {
            return;
        }
        let is_awaited = |record: &&LogRecord| {
            self.alone.get(&record.origin.source).is_none_or(|alone| *alone < MOST_ALONE)
        };
        let newest = chunk.records.iter().filter(is_awaited).map(|record| record.row.observed_ts).max();
        let Some(newest) = newest else { return };
        while self.written.is_on()
            && self.written.seen_until() < newest.saturating_add(SETTLE_NS)
            && self.clock.monotonic().saturating_sub(since) < LONGEST
        {
            tokio::time::sleep(STEP).await;
        }
    }

    /// Gives lines the spans that they were written in.
    pub fn join(&mut self, chunk: &mut Chunk) {
        if !self.written.is_on() {
            return;
        }
        if self.alone.len() > MOST_SOURCES {
            self.alone.clear();
        }
        let Self { written, name, alone, .. } = self;
        let mut writes = written.lock();
        for record in &mut chunk.records {
            let alone = alone.entry(record.origin.source).or_default();
            *alone = alone.saturating_add(1);
            let mut mine = None;
            let is_owner = |key: u64| {
                let mine = mine.get_or_insert_with(|| name(&record.owner));
                is_same(mine, &name(&Owner::Workload(key)))
            };
            let Some(found) = writes.find(&line(record), is_owner) else { continue };
            *alone = 0;
            let row = &mut record.row;
            if row.trace_id.is_empty() {
                row.trace_id = hex(&found.context.trace_id);
                row.span_id = hex(&found.context.span_id);
                row.attributes.insert(String::from("wake.join.confidence"), shown(found.confidence));
            }
        }
    }
}

fn line(record: &LogRecord) -> Line {
    let place = match record.origin.source {
        // a runtime's file holds what came through a pipe
        SourceKey::File { device, inode } if record.row.stream.is_empty() => {
            Some((device, inode, record.origin.start))
        }
        SourceKey::File { .. } | SourceKey::Journal => None,
    };
    let [first, last] = record.prints;
    Line { place, first, last, lines: record.lines, by_ns: record.row.ts }
}

/// Whether what the one writes may stand in the log of the other.
fn is_same(log: &Identity, writer: &Identity) -> bool {
    if !log.pod_uid.is_empty() {
        let is_container = log.container.is_empty()
            || writer.container.is_empty()
            || log.container == writer.container
            // a container whose name nobody told is called by its id
            || writer.container == writer.container_id
            || (!log.container_id.is_empty() && log.container_id == writer.container_id);
        return log.pod_uid == writer.pod_uid && is_container;
    }
    (log.cgroup_id != 0 && log.cgroup_id == writer.cgroup_id)
        || (log.workload_kind == writer.workload_kind && log.workload == writer.workload)
}
