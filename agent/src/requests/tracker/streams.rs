//! TCP connections, by socket.

use agent_common::requests::line::Line;

use super::{Known, Shared, begin, protocol};
use crate::decode::requests::Piece;
use crate::requests::connection::When;
use crate::requests::hash::Table;
use crate::requests::ids::Ids;
use crate::requests::threads::Threads;
use crate::window::sample::Sample;

/// A connection that was quiet this long is forgotten; its next record begins it anew.
pub(super) const IDLE_NS: u64 = 3_600_000_000_000;
/// The same when the table is full, which is looked for this often.
const IDLE_WHEN_FULL_NS: u64 = 30_000_000_000;
const LOOK_NS: u64 = 1_000_000_000;
/// An answer under way whose rest is not sent is asked for after this long, of this many connections at a time.
const QUIET_NS: u64 = 300_000_000;
const MOST_QUIET: usize = 512;

/// What tells a connection from every other: the socket and when it was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    socket: u64,
    born_ns: u64,
}

/// What a run has carried by now, as the programs know it.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// When the entry was made.
    pub born_ns: u64,
    /// Bytes of the run.
    pub total: u64,
    /// Its last one.
    pub last_ns: u64,
}

#[derive(Debug)]
pub(super) struct Streams {
    known: Table<Key, Known>,
    most: usize,
    most_memory: usize,
    memory: usize,
    asked_ns: u64,
    looked_ns: u64,
}

impl Streams {
    pub(super) fn new(most: usize, most_memory: usize) -> Self {
        Self { known: Table::default(), most, most_memory, memory: 0, asked_ns: 0, looked_ns: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    pub(super) fn take(
        &mut self,
        piece: &Piece<'_>,
        shared: &mut Shared,
        boot_to_unix_ns: i64,
        out: &mut Vec<Sample>,
    ) {
        let header = &piece.header;
        let key = Key { socket: header.socket, born_ns: header.born_ns };
        if !self.known.contains_key(&key) {
            let Some(protocol) = protocol(header.protocol).filter(|_| !piece.is_end()) else { return };
            if !self.has_room(header.at_ns, shared, boot_to_unix_ns, out) {
                shared.counts.refused += 1;
                return;
            }
            self.known.insert(key, begin(piece, protocol, &mut shared.doings));
        }
        let Some(known) = self.known.get_mut(&key) else { return };
        shared.feed(known, piece, boot_to_unix_ns, out);
        if piece.is_end() {
            self.remove(key);
            return;
        }
        weigh(&mut self.memory, known);
        // `shrink` finds the largest now and then; until it comes nothing grows far beyond the bound
        if self.memory > self.most_memory.saturating_add(self.most_memory / 4) {
            shared.counts.too_large += 1;
            self.forget(key, shared, boot_to_unix_ns, out);
        }
    }

    /// A goroutine begins to serve a stream, whose request was told before that.
    pub(super) fn served(&mut self, line: &Line, threads: &mut Threads) {
        let Some(number) = number(line) else { return };
        if let Some(known) = self.known.get_mut(&key(line)) {
            threads.is_of_go(line.tgid, line.at_ns);
            known.connection.served(number, line, threads);
        }
    }

    /// A goroutine has opened a stream, whose request may be told sooner or later.
    pub(super) fn opened(&mut self, line: &Line, threads: &mut Threads, ids: &mut Ids) {
        let Some(number) = number(line) else { return };
        threads.is_of_go(line.tgid, line.at_ns);
        let by_number = threads.served_by((line.tgid, line.position));
        // of one that serves nobody, another one's child perhaps, threads are asked
        let Some(serving) = by_number.or_else(|| threads.served_at((line.tgid, line.workload), line.at_ns))
        else {
            return;
        };
        let key = key(line);
        let known = self.known.get_mut(&key);
        let when = known.map_or(When::Early, |known| known.connection.opened(number, serving, threads, ids));
        if when == When::Early {
            threads.opens_early((key.socket, key.born_ns, number), serving, line.at_ns);
        }
    }

    /// Asks for answers whose rest the programs do not send.
    pub(super) fn ask(
        &mut self,
        now_ns: u64,
        run: impl Fn(u64) -> Option<Run>,
        shared: &mut Shared,
        boot_to_unix_ns: i64,
        out: &mut Vec<Sample>,
    ) {
        if now_ns.saturating_sub(self.asked_ns) < QUIET_NS {
            return;
        }
        self.asked_ns = now_ns;
        let is_due = |known: &Known| {
            !known.is_asked
                && now_ns.saturating_sub(known.connection.last_ns) > QUIET_NS
                && known.connection.is_waiting()
        };
        let due = self.known.iter().filter(|(_, known)| is_due(known)).map(|(key, _)| *key);
        let due: Vec<Key> = due.take(MOST_QUIET).collect();
        for key in due {
            let Some(known) = self.known.get_mut(&key) else { continue };
            match run(key.socket) {
                // still under way: asked again later
                Some(run) if run.born_ns == key.born_ns && now_ns.saturating_sub(run.last_ns) < QUIET_NS => {
                    known.connection.last_ns = run.last_ns;
                    continue;
                }
                Some(run) if run.born_ns == key.born_ns => {
                    let Shared { threads, ids, ended, .. } = shared;
                    known.connection.grown(run.total, run.last_ns, threads, ids, ended);
                }
                _ => {}
            }
            known.is_asked = true;
            shared.give(&known.ends, &mut known.common, boot_to_unix_ns, out);
        }
    }

    /// What was quiet too long goes; an answer that paused is asked for once more.
    pub(super) fn tidy(
        &mut self,
        now_ns: u64,
        shared: &mut Shared,
        boot_to_unix_ns: i64,
        out: &mut Vec<Sample>,
    ) {
        self.forget_quiet(now_ns, IDLE_NS, shared, boot_to_unix_ns, out);
        for known in self.known.values_mut() {
            known.is_asked = false;
        }
    }

    /// Forgets the connections that hold most, where all together hold too much.
    pub(super) fn shrink(&mut self, shared: &mut Shared, boot_to_unix_ns: i64, out: &mut Vec<Sample>) {
        if self.memory <= self.most_memory {
            return;
        }
        let mut all: Vec<(usize, Key)> = self.known.iter().map(|(key, known)| (known.memory, *key)).collect();
        all.sort_unstable_by_key(|(memory, _)| std::cmp::Reverse(*memory));
        for (_, key) in all {
            if self.memory <= self.most_memory - self.most_memory / 8 {
                return;
            }
            shared.counts.too_large += 1;
            self.forget(key, shared, boot_to_unix_ns, out);
        }
    }

    /// Where the table is full the quiet ones have to go; that is looked for once a second, not for each record.
    fn has_room(
        &mut self,
        now_ns: u64,
        shared: &mut Shared,
        boot_to_unix_ns: i64,
        out: &mut Vec<Sample>,
    ) -> bool {
        let is_full = self.known.len() >= self.most;
        if is_full && now_ns.saturating_sub(self.looked_ns) >= LOOK_NS {
            self.looked_ns = now_ns;
            let gone = self.forget_quiet(now_ns, IDLE_WHEN_FULL_NS, shared, boot_to_unix_ns, out);
            shared.counts.evicted += gone;
        }
        self.known.len() < self.most
    }

    fn forget_quiet(
        &mut self,
        now_ns: u64,
        idle_ns: u64,
        shared: &mut Shared,
        boot_to_unix_ns: i64,
        out: &mut Vec<Sample>,
    ) -> u64 {
        let is_quiet = |known: &Known| now_ns.saturating_sub(known.connection.last_ns) > idle_ns;
        let quiet: Vec<Key> =
            self.known.iter().filter(|(_, known)| is_quiet(known)).map(|(key, _)| *key).collect();
        for key in &quiet {
            self.forget(*key, shared, boot_to_unix_ns, out);
        }
        quiet.len() as u64
    }

    fn forget(&mut self, key: Key, shared: &mut Shared, boot_to_unix_ns: i64, out: &mut Vec<Sample>) {
        if let Some(mut known) = self.remove(key) {
            shared.forget(&mut known, boot_to_unix_ns, out);
        }
    }

    fn remove(&mut self, key: Key) -> Option<Known> {
        let known = self.known.remove(&key)?;
        self.memory -= known.memory;
        Some(known)
    }
}

/// The connection that a goroutine has to do with, and which of its streams.
fn key(line: &Line) -> Key {
    Key { socket: line.inode, born_ns: line.start_ns }
}

/// As clients have them: odd.
fn number(line: &Line) -> Option<u32> {
    u32::try_from(line.total).ok().filter(|number| number % 2 == 1)
}

/// Brings the sum in line with what this connection takes now.
fn weigh(sum: &mut usize, known: &mut Known) {
    let common = known.common.as_ref().map_or(0, |common| size_of_val(&**common) + common.memory());
    let memory = size_of::<Known>() + known.connection.memory() + common;
    *sum = *sum - known.memory + memory;
    known.memory = memory;
}
