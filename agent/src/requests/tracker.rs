//! All connections that are decoded: bounded, fed record by record, spans and counts out.
//!
//! Connections and datagrams have tables of their own: a datagram's entry lasts until it is answered. Bounded in number, and
//! in the sum of what all decoders hold; what has to go is told as far as it was seen, and counted.

mod datagrams;
mod elsewhere;
mod streams;

use std::net::SocketAddr;

use agent_common::requests::line::{EVENT_OPENS, EVENT_SERVED, EVENT_SERVES};
use agent_common::requests::{self as kernel, TRANSPORT_TCP, TRANSPORT_UDP};
use agent_common::tls::PLAINTEXT;

use super::connection::{Connection, Ended};
use super::hash::Table;
use super::ids::Ids;
use super::protocol::Protocol;
use super::red::Red;
use super::shed::Shed;
use super::span::{Common, Ends, failed, write};
use super::threads::Threads;
use super::written::Written;
use crate::decode::requests::{Elsewhere, Piece};
use crate::window::sample::{Loss, Owner, Row, Sample};
use crate::window::span::Spans;
use datagrams::Datagrams;
use elsewhere::Doings;
pub use streams::Run;
use streams::Streams;

/// Most owners whose spans are looked for among what goes out.
const MOST_OWNERS: usize = 4_096;

/// What the tracker may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections that are decoded at once.
    pub connections: usize,
    /// Bytes that their decoders hold in sum.
    pub memory: usize,
    /// Spans of one workload in a window.
    pub spans: u32,
}

/// A connection, and between whom it is.
#[derive(Debug)]
struct Known {
    connection: Connection,
    ends: Ends,
    /// Of its spans, once there was one.
    common: Option<Box<Common>>,
    /// Asked for since its last record.
    is_asked: bool,
    /// Bytes that it was last seen to take.
    memory: usize,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    threads: Threads,
    doings: Doings,
    ids: Ids,
    shed: Shed,
    red: Red,
    ended: Ended,
    /// Where among what goes out an owner's spans are; may be out of date.
    places: Table<u64, usize>,
    counts: Counts,
}

/// What happened since the last look.
#[derive(Debug, Default)]
struct Counts {
    /// Spans beyond a workload's share, and those that the budget for CPU shed.
    over_share: u64,
    over_budget: u64,
    /// Records that were lost.
    gaps: u64,
    /// Connections that were not taken, that had to go for others, and that had to go for their memory.
    refused: u64,
    evicted: u64,
    too_large: u64,
    /// Questions by datagram that had to go for others.
    questions: u64,
    /// Goroutines and streams of which was told whose they are, and that there was no room for.
    joins: u64,
}

/// The connections, and what is shared by them.
#[derive(Debug)]
pub struct Tracker {
    streams: Streams,
    datagrams: Datagrams,
    shared: Shared,
}

impl Tracker {
    /// Nothing is known yet; what threads write while they serve goes to `written`.
    pub fn new(limits: Limits, ids: Ids, written: Written) -> Self {
        Self {
            streams: Streams::new(limits.connections, limits.memory),
            datagrams: Datagrams::default(),
            shared: Shared {
                threads: Threads::default(),
                doings: Doings::new(written),
                ids,
                shed: Shed::new(limits.spans),
                red: Red::default(),
                ended: Ended::default(),
                places: Table::default(),
                counts: Counts::default(),
            },
        }
    }

    /// Takes a record; spans go to `out`.
    pub fn take(&mut self, piece: &Piece<'_>, boot_to_unix_ns: i64, out: &mut Vec<Sample>) {
        if piece.is_datagram() {
            self.datagrams.take(piece, &mut self.shared, boot_to_unix_ns, out);
        } else {
            self.streams.take(piece, &mut self.shared, boot_to_unix_ns, out);
        }
    }

    /// Takes what a thread did elsewhere than on its connections.
    pub fn elsewhere(&mut self, seen: &Elsewhere<'_>, boot_to_unix_ns: i64) {
        let Shared { threads, doings, ids, .. } = &mut self.shared;
        match seen.line.event {
            EVENT_SERVES => self.streams.served(&seen.line, threads),
            EVENT_SERVED => threads.is_done((seen.line.tgid, seen.line.workload)),
            EVENT_OPENS => self.streams.opened(&seen.line, threads, ids),
            _ => doings.take(seen, threads, boot_to_unix_ns),
        }
    }

    /// Now and then: asks the programs for answers whose rest they do not send (`run` says what a socket's run has carried),
    /// gives up questions that were not answered, and makes room.
    pub fn ask(
        &mut self,
        now_ns: u64,
        boot_to_unix_ns: i64,
        run: impl Fn(u64) -> Option<Run>,
        out: &mut Vec<Sample>,
    ) {
        self.streams.ask(now_ns, run, &mut self.shared, boot_to_unix_ns, out);
        self.streams.shrink(&mut self.shared, boot_to_unix_ns, out);
        self.datagrams.expire(now_ns, &mut self.shared, boot_to_unix_ns, out);
    }

    /// Whether requests that did not fail and were not slow are told as spans; all are counted.
    pub fn tell_all(&mut self, on: bool) {
        self.shared.shed.tell_all(on);
    }

    /// A window has ended: what was quiet too long goes, what was counted goes out, budgets begin anew.
    pub fn tidy(&mut self, now_ns: u64, boot_to_unix_ns: i64, out: &mut Vec<Sample>) -> Vec<Loss> {
        self.datagrams.expire(now_ns, &mut self.shared, boot_to_unix_ns, out);
        self.streams.tidy(now_ns, &mut self.shared, boot_to_unix_ns, out);
        self.shared.threads.forget(now_ns.saturating_sub(streams::IDLE_NS));
        self.shared.doings.tidy(now_ns);
        self.shared.shed.renew();
        self.shared.red.close(out);
        self.shared.counts.joins += self.shared.threads.beyond();
        self.shared.counts.take()
    }

    /// Connections that are decoded now, and datagrams that wait for their answer.
    pub fn len(&self) -> usize {
        self.streams.len() + self.datagrams.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the decoders of connections hold.
    pub fn memory(&self) -> usize {
        self.streams.memory()
    }
}

impl Counts {
    fn take(&mut self) -> Vec<Loss> {
        let Self { over_share, over_budget, gaps, refused, evicted, too_large, questions, joins } =
            std::mem::take(self);
        let counts = [
            ("window", "span_budget", over_share),
            ("window", "budget", over_budget),
            ("kernel", "record_gap", gaps),
            ("decode", "connections_full", refused),
            ("decode", "connections_evicted", evicted),
            ("decode", "decoder_memory", too_large),
            ("decode", "questions_full", questions),
            ("decode", "joins_full", joins),
        ];
        let loss = |(stage, reason, count)| Loss { signal: "span", stage, reason, count };
        counts.into_iter().filter(|(.., count)| *count > 0).map(loss).collect()
    }
}

impl Shared {
    /// Feeds a record to its connection.
    fn feed(&mut self, known: &mut Known, piece: &Piece<'_>, boot_to_unix_ns: i64, out: &mut Vec<Sample>) {
        known.is_asked = false;
        let is_lost = known.connection.take(piece, &mut self.threads, &mut self.ids, &mut self.ended);
        self.counts.gaps += u64::from(is_lost);
        self.give(&known.ends, &mut known.common, boot_to_unix_ns, out);
    }

    /// Time has passed: what was to be answered by now was not.
    fn pass(&mut self, known: &mut Known, now_ns: u64, boot_to_unix_ns: i64, out: &mut Vec<Sample>) {
        known.connection.pass(now_ns, &mut self.threads, &mut self.ids, &mut self.ended);
        self.give(&known.ends, &mut known.common, boot_to_unix_ns, out);
    }

    /// A connection is not looked at any more.
    fn forget(&mut self, known: &mut Known, boot_to_unix_ns: i64, out: &mut Vec<Sample>) {
        known.connection.forget(&mut self.threads, &mut self.ids, &mut self.ended);
        self.give(&known.ends, &mut known.common, boot_to_unix_ns, out);
    }

    /// Counts what has ended, and tells of it as far as may be told.
    fn give(
        &mut self,
        ends: &Ends,
        common: &mut Option<Box<Common>>,
        boot_to_unix_ns: i64,
        out: &mut Vec<Sample>,
    ) {
        for placed in &self.ended.placed {
            let has_failed = failed(&placed.exchange, ends.is_client);
            let mut counted = self.red.count(ends, &placed.exchange, has_failed);
            match self.shed.allows(ends.owner, has_failed || counted.is_slow()) {
                super::shed::Answer::Tell => {
                    counted.told();
                    if let Some(spans) = spans_of(ends.owner, &mut self.places, out) {
                        write(placed, ends, common, boot_to_unix_ns, spans.begin());
                    }
                }
                super::shed::Answer::OverShare => self.counts.over_share += 1,
                super::shed::Answer::OverBudget => self.counts.over_budget += 1,
            }
        }
        self.ended.placed.clear();
    }
}

/// Where an owner's next span goes.
fn spans_of<'a>(
    owner: u64,
    places: &mut Table<u64, usize>,
    out: &'a mut Vec<Sample>,
) -> Option<&'a mut Spans> {
    let is_open = |sample: &Sample| {
        let is_full = !matches!(&sample.row, Row::Spans(spans) if !spans.is_full());
        !is_full && matches!(sample.owner, Owner::Workload(of) if of == owner)
    };
    let known = places.get(&owner).copied().filter(|place| out.get(*place).is_some_and(is_open));
    let place = known.unwrap_or_else(|| {
        if places.len() >= MOST_OWNERS {
            places.clear();
        }
        places.insert(owner, out.len());
        out.push(Sample { owner: Owner::Workload(owner), row: Row::Spans(Spans::new()) });
        out.len() - 1
    });
    match out.get_mut(place) {
        Some(Sample { row: Row::Spans(spans), .. }) => Some(spans),
        _ => None,
    }
}

/// A connection of which this is the first record.
fn begin(piece: &Piece<'_>, protocol: Protocol, doings: &mut Doings) -> Known {
    // the plaintext of a connection has a key beside that of the socket which was connected
    let opener = doings.opener(piece.header.socket & !PLAINTEXT);
    let connection = Connection::new(protocol, doings.names(), piece.is_client(), opener);
    Known { connection, ends: ends(piece), common: None, is_asked: false, memory: 0 }
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
        is_encrypted: piece.header.socket & PLAINTEXT != 0,
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

/// Whether datagrams between these go to many: who has no answer to such a question says nothing.
fn is_to_many(local: SocketAddr, peer: SocketAddr) -> bool {
    const MDNS: u16 = 5_353;
    const LLMNR: u16 = 5_355;
    let is_many = match peer.ip() {
        std::net::IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
        std::net::IpAddr::V6(address) => address.is_multicast(),
    };
    is_many || [local.port(), peer.port()].iter().any(|port| matches!(*port, MDNS | LLMNR))
}

#[cfg(test)]
mod tests;
