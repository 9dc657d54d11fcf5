//! All connections that are decoded: bounded, fed record by record, spans out.

use std::collections::HashMap;
use std::net::SocketAddr;

use agent_common::requests::line::{EVENT_CONNECT, EVENT_LINE};
use agent_common::requests::{self as kernel, TRANSPORT_TCP, TRANSPORT_UDP};

use super::connection::{Connection, Placed};
use super::context::Context;
use super::ids::Ids;
use super::protocol::Protocol;
use super::shed::Shed;
use super::span::{Ends, sample};
use super::threads::{Thread, Threads};
use super::written::{Found, Write, Written};
use crate::decode::requests::{Elsewhere, Piece};
use crate::kernel::clock::unix_ns;
use crate::window::sample::{Loss, Sample};

/// Most connections that are decoded at once.
const MOST_CONNECTIONS: usize = 32_768;
/// A question by datagram without an answer is given up after this long.
const DATAGRAM_NS: u64 = 6_000_000_000;
/// A connection that was quiet this long is forgotten; its next record begins it anew.
const IDLE_NS: u64 = 3_600_000_000_000;
/// The same when the table is full.
const IDLE_WHEN_FULL_NS: u64 = 30_000_000_000;
/// An answer under way whose rest is not sent is asked for after this long, of this many connections at a time.
const QUIET_NS: u64 = 300_000_000;
const MOST_QUIET: usize = 512;

/// Connections that were made and have carried nothing yet, and for how long they are remembered.
const MOST_OPENERS: usize = 16_384;
const OPENED_NS: u64 = 10_000_000_000;

/// What tells a connection from every other: the socket and when it was met; of a datagram its other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    socket: u64,
    born_ns: u64,
    peer: Option<SocketAddr>,
}

#[derive(Debug)]
struct Known {
    connection: Connection,
    ends: Ends,
    /// Asked for since its last record.
    is_asked: bool,
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

/// The connections, and what is shared by them.
#[derive(Debug)]
pub struct Tracker {
    known: HashMap<Key, Known>,
    threads: Threads,
    /// Which span's thread has made a connection, and when, until its first request.
    openers: HashMap<u64, (Context, f64, u64)>,
    written: Written,
    ids: Ids,
    shed: Shed,
    spans: Vec<Placed>,
    /// Spans beyond the budget, records lost, connections not taken: since the last look.
    shed_spans: u64,
    gaps: u64,
    refused: u64,
}

impl Tracker {
    /// Allows each workload this many spans in a window; what threads write while they serve goes to `written`.
    pub fn new(max_spans: u32, ids: Ids, written: Written) -> Self {
        Self {
            known: HashMap::new(),
            threads: Threads::default(),
            openers: HashMap::new(),
            written,
            ids,
            shed: Shed::new(max_spans),
            spans: Vec::new(),
            shed_spans: 0,
            gaps: 0,
            refused: 0,
        }
    }

    /// Takes a record; spans go to `out`.
    pub fn take(&mut self, piece: &Piece<'_>, boot_to_unix_ns: i64, out: &mut Vec<Sample>) {
        let header = &piece.header;
        let peer = piece.is_datagram().then(|| piece.peer());
        let key = Key { socket: header.socket, born_ns: header.born_ns, peer };
        if !self.known.contains_key(&key) {
            let Some(protocol) = protocol(header.protocol).filter(|_| !piece.is_end()) else { return };
            if !self.has_room(header.at_ns) {
                self.refused += 1;
                return;
            }
            let opener = self.openers.remove(&key.socket).map(|(context, sure, _)| (context, sure));
            let connection = Connection::new(protocol, piece.is_client(), opener);
            self.known.insert(key, Known { connection, ends: ends(piece), is_asked: false });
        }
        let Some(known) = self.known.get_mut(&key) else { return };
        known.is_asked = false;
        let is_lost = known.connection.take(piece, &mut self.threads, &mut self.ids, &mut self.spans);
        self.gaps += u64::from(is_lost);
        let ends = known.ends;
        if piece.is_end() {
            self.known.remove(&key);
        }
        self.give(&ends, boot_to_unix_ns, out);
    }

    /// Asks the programs for answers whose rest they do not send: `run` says what a socket's run has carried.
    pub fn ask(
        &mut self,
        now_ns: u64,
        boot_to_unix_ns: i64,
        run: impl Fn(u64) -> Option<Run>,
        out: &mut Vec<Sample>,
    ) {
        let is_due = |known: &Known| {
            known.connection.is_waiting()
                && !known.is_asked
                && now_ns.saturating_sub(known.connection.last_ns) > QUIET_NS
        };
        let due: Vec<Key> = self
            .known
            .iter()
            .filter(|(key, known)| key.peer.is_none() && is_due(known))
            .map(|(key, _)| *key)
            .take(MOST_QUIET)
            .collect();
        for key in due {
            let Some(known) = self.known.get_mut(&key) else { continue };
            match run(key.socket) {
                // still under way: asked again later
                Some(run) if run.born_ns == key.born_ns && now_ns.saturating_sub(run.last_ns) < QUIET_NS => {
                    known.connection.last_ns = run.last_ns;
                    continue;
                }
                Some(run) if run.born_ns == key.born_ns => {
                    let (threads, ids) = (&mut self.threads, &mut self.ids);
                    known.connection.grown(run.total, run.last_ns, threads, ids, &mut self.spans);
                }
                _ => {}
            }
            known.is_asked = true;
            let ends = known.ends;
            self.give(&ends, boot_to_unix_ns, out);
        }
    }

    /// A window has ended: what was quiet too long goes, budgets begin anew.
    pub fn tidy(&mut self, now_ns: u64, boot_to_unix_ns: i64, out: &mut Vec<Sample>) -> Vec<Loss> {
        self.drop_quiet(now_ns, IDLE_NS, boot_to_unix_ns, out);
        self.threads.forget(now_ns.saturating_sub(IDLE_NS));
        self.openers.retain(|_, (.., at_ns)| now_ns.saturating_sub(*at_ns) < OPENED_NS);
        self.shed.renew();
        // an answer that paused is asked for once more
        self.known.values_mut().for_each(|known| known.is_asked = false);
        let counts = [
            ("window", "span_budget", std::mem::take(&mut self.shed_spans)),
            ("kernel", "record_gap", std::mem::take(&mut self.gaps)),
            ("decode", "connections_full", std::mem::take(&mut self.refused)),
        ];
        let loss = |(stage, reason, count)| Loss { signal: "span", stage, reason, count };
        counts.into_iter().filter(|(.., count)| *count > 0).map(loss).collect()
    }

    /// Takes what a thread did elsewhere than on its connections.
    pub fn elsewhere(&mut self, seen: &Elsewhere<'_>, boot_to_unix_ns: i64) {
        let line = &seen.line;
        let thread = (line.tgid, line.tid);
        match line.event {
            EVENT_LINE => self.line(seen, thread, boot_to_unix_ns),
            EVENT_CONNECT if self.openers.len() < MOST_OPENERS => {
                if let Some((context, sure)) = self.threads.asks(thread) {
                    self.openers.insert(line.inode, (context, sure, line.at_ns));
                }
            }
            _ => {}
        }
    }

    fn line(&self, seen: &Elsewhere<'_>, thread: Thread, boot_to_unix_ns: i64) {
        let line = &seen.line;
        let Some((context, confidence)) = self.threads.logs(thread, line.start_ns) else { return };
        let Some(target) = seen.target() else { return };
        self.written.lock().push(&Write {
            target,
            tid: line.tid,
            owner: line.workload,
            start_ns: unix_ns(line.start_ns, boot_to_unix_ns),
            bytes: seen.bytes,
            total: line.total,
            found: Found { context, confidence },
        });
    }

    /// Connections that are decoded now.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn has_room(&mut self, now_ns: u64) -> bool {
        if self.known.len() >= MOST_CONNECTIONS {
            self.known.retain(|_, known| now_ns.saturating_sub(known.connection.last_ns) < IDLE_WHEN_FULL_NS);
        }
        self.known.len() < MOST_CONNECTIONS
    }

    fn drop_quiet(&mut self, now_ns: u64, idle_ns: u64, boot_to_unix_ns: i64, out: &mut Vec<Sample>) {
        let is_quiet = |key: &Key, known: &Known| {
            let age = now_ns.saturating_sub(known.connection.last_ns);
            age > if key.peer.is_some() { DATAGRAM_NS } else { idle_ns }
        };
        let quiet: Vec<Key> =
            self.known.iter().filter(|(key, known)| is_quiet(key, known)).map(|(key, _)| *key).collect();
        for key in quiet {
            let Some(mut known) = self.known.remove(&key) else { continue };
            let at_ns = known.connection.last_ns.max(now_ns.saturating_sub(DATAGRAM_NS));
            known.connection.end(at_ns, &mut self.threads, &mut self.ids, &mut self.spans);
            self.give(&known.ends, boot_to_unix_ns, out);
        }
    }

    fn give(&mut self, ends: &Ends, boot_to_unix_ns: i64, out: &mut Vec<Sample>) {
        for placed in self.spans.drain(..) {
            if self.shed.allows(ends.owner, placed.exchange.failed) {
                out.push(sample(placed, ends, boot_to_unix_ns));
            } else {
                self.shed_spans += 1;
            }
        }
    }
}

fn ends(piece: &Piece<'_>) -> Ends {
    let transport = match piece.header.transport {
        TRANSPORT_TCP => "tcp",
        TRANSPORT_UDP => "udp",
        _ => "",
    };
    Ends {
        owner: piece.header.workload,
        tgid: piece.header.tgid,
        is_client: piece.is_client(),
        local: piece.local(),
        peer: piece.peer(),
        transport,
    }
}

fn protocol(number: u8) -> Option<Protocol> {
    match number {
        kernel::HTTP1 => Some(Protocol::Http1),
        kernel::HTTP2 => Some(Protocol::Http2),
        kernel::DNS => Some(Protocol::Dns),
        kernel::POSTGRES => Some(Protocol::Postgres),
        kernel::MYSQL => Some(Protocol::Mysql),
        kernel::REDIS => Some(Protocol::Redis),
        kernel::KAFKA => Some(Protocol::Kafka),
        _ => None,
    }
}
