//! Rate, errors and duration of all requests that were decoded, by workload, role, other end, protocol and name: counted here,
//! whatever becomes of their spans. Those that go out as spans too are rows of their own (`spans` is `count`, else 0), so that
//! who counts spans can add the others, with their durations, and count none twice.
//!
//! Bounded: names of one workload and other end, and rows of all. What is beyond is counted as `other`, so sums stay exact.

use std::net::IpAddr;

use agent_common::histogram::{BUCKETS, bucket};
use proto::histogram::lower_bound_ns;
use proto::v1;

use super::hash::Table;
use super::protocol::Exchange;
use super::span::Ends;
use crate::window::sample::{Owner, Row, Sample};

/// Names of requests that one workload may have towards one other end.
const MOST_NAMES: usize = 256;
/// Kinds of request of a window: each is a row, or two where some have spans and some have none.
const MOST_ROWS: usize = 8_192;
/// The name of what is beyond.
const OTHER: &str = "other";
/// Requests of a window that say what is slow in the next one.
const ENOUGH: u64 = 100;

/// Whose requests, and to or from whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Between {
    owner: u64,
    is_client: bool,
    protocol: &'static str,
    peer: Option<IpAddr>,
    server_port: u16,
}

/// Where the counts are, by whether they failed.
type Rows = [Option<usize>; 2];

/// Requests of one row.
#[derive(Clone, Debug)]
struct Tally {
    count: u64,
    unseen: u64,
    sum_ns: u64,
    hist: [u32; BUCKETS],
}

const NOTHING: Tally = Tally { count: 0, unseen: 0, sum_ns: 0, hist: [0; BUCKETS] };

/// Requests of one kind.
#[derive(Debug)]
pub struct Counts {
    /// Without and with a span.
    by_span: [Tally; 2],
    /// Longer than 99 of 100 of the window before, where there were enough.
    slow_ns: Option<u64>,
}

/// A request that is counted when this goes.
#[derive(Debug)]
pub struct Counted<'a> {
    counts: &'a mut Counts,
    duration_ns: u64,
    is_unseen: bool,
    has_span: bool,
}

impl Counted<'_> {
    /// Whether it took longer than such requests do.
    pub fn is_slow(&self) -> bool {
        self.counts.slow_ns.is_some_and(|slow_ns| self.duration_ns > slow_ns)
    }

    /// It goes out as a span too.
    pub fn told(&mut self) {
        self.has_span = true;
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let tally = &mut self.counts.by_span[usize::from(self.has_span)];
        tally.count += 1;
        tally.unseen += u64::from(self.is_unseen);
        tally.sum_ns = tally.sum_ns.saturating_add(self.duration_ns);
        if let Some(count) = tally.hist.get_mut(bucket(self.duration_ns) as usize) {
            *count = count.saturating_add(1);
        }
    }
}

/// The counts of a window.
#[derive(Debug, Default)]
pub struct Red {
    places: Table<Between, Table<Box<str>, Rows>>,
    counts: Vec<Option<Box<Counts>>>,
    /// Their places that are empty.
    free: Vec<usize>,
}

impl Red {
    /// Counts a request.
    pub fn count(&mut self, ends: &Ends, exchange: &Exchange, failed: bool) -> Counted<'_> {
        let duration_ns = exchange.end_ns.saturating_sub(exchange.start_ns);
        let server = if ends.is_client { ends.peer } else { ends.local };
        let between = Between {
            owner: ends.owner,
            is_client: ends.is_client,
            protocol: exchange.protocol.as_str(),
            peer: Some(ends.peer.ip()),
            server_port: server.port(),
        };
        let name = exchange.name.as_str();
        let names = self.places.get(&between);
        let known = names.and_then(|names| *names.get(name)?.get(usize::from(failed))?);
        let place = known.unwrap_or_else(|| self.begin(between, name, failed));
        let is_unseen = !failed && exchange.is_unseen();
        let counts = self.counts.get_mut(place).and_then(Option::as_mut).expect("who has a place has counts");
        Counted { counts, duration_ns, is_unseen, has_span: false }
    }

    /// The place of the counts of a kind that has none, or of those that it is counted with.
    #[cold]
    fn begin(&mut self, mut between: Between, mut name: &str, failed: bool) -> usize {
        let names = self.places.get(&between);
        if names.is_some_and(|names| names.len() >= MOST_NAMES && !names.contains_key(name)) {
            name = OTHER;
        }
        if self.counts.len() - self.free.len() >= MOST_ROWS {
            // few: as many as workloads and protocols
            name = OTHER;
            (between.peer, between.server_port) = (None, 0);
        }
        let names = self.places.entry(between).or_default();
        if !names.contains_key(name) {
            names.insert(name.into(), Rows::default());
        }
        let slot = names.get_mut(name).and_then(|rows| rows.get_mut(usize::from(failed)));
        let (counts, free) = (&mut self.counts, &mut self.free);
        *slot.expect("was put in above").get_or_insert_with(|| {
            let place = free.pop().unwrap_or_else(|| {
                counts.push(None);
                counts.len() - 1
            });
            counts[place] = Some(Box::new(Counts { by_span: [NOTHING, NOTHING], slow_ns: None }));
            place
        })
    }

    /// The window has ended: what was counted goes out, and what was not is forgotten.
    pub fn close(&mut self, out: &mut Vec<Sample>) {
        let Self { places, counts, free } = self;
        places.retain(|between, names| {
            names.retain(|name, rows| {
                for (failed, slot) in [false, true].into_iter().zip(rows.iter_mut()) {
                    let Some(here) = slot.and_then(|place| counts.get_mut(place)) else { continue };
                    let Some(counts) = here.as_mut() else { continue };
                    if counts.by_span.iter().all(|tally| tally.count == 0) {
                        *here = None;
                        free.extend(slot.take());
                        continue;
                    }
                    for (has_span, tally) in [false, true].into_iter().zip(&counts.by_span) {
                        if tally.count > 0 {
                            out.push(row(between, name, failed, has_span, tally));
                        }
                    }
                    counts.renew();
                }
                rows.iter().any(Option::is_some)
            });
            !names.is_empty()
        });
    }
}

impl Counts {
    fn renew(&mut self) {
        if self.count() >= ENOUGH {
            self.slow_ns = Some(self.slow());
        }
        self.by_span = [NOTHING, NOTHING];
    }

    fn count(&self) -> u64 {
        self.by_span.iter().map(|tally| tally.count).sum()
    }

    /// The upper end of the bucket that has the 99th of 100.
    fn slow(&self) -> u64 {
        let mut left = self.count() - self.count() / 100;
        let [without, with] = &self.by_span;
        for (place, (one, other)) in without.hist.iter().zip(&with.hist).enumerate() {
            left = left.saturating_sub(u64::from(*one) + u64::from(*other));
            if left == 0 {
                return upper_end(place);
            }
        }
        u64::MAX
    }
}

/// Where a bucket ends, in nanoseconds.
fn upper_end(place: usize) -> u64 {
    if place + 1 < BUCKETS { lower_bound_ns(place + 1) } else { u64::MAX }
}

fn row(between: &Between, name: &str, failed: bool, has_span: bool, tally: &Tally) -> Sample {
    let Between { owner, is_client, protocol, peer, server_port } = *between;
    let Tally { count, unseen, sum_ns, hist } = tally;
    let row = v1::RequestRow {
        kind: if is_client { "client" } else { "server" }.to_owned(),
        protocol: protocol.to_owned(),
        name: name.to_owned(),
        status: if failed { "error" } else { "" }.to_owned(),
        peer_address: peer.map(|peer| peer.to_string()).unwrap_or_default(),
        server_port: u32::from(server_port),
        count: *count,
        spans: if has_span { *count } else { 0 },
        unseen: *unseen,
        duration_ns_sum: *sum_ns,
        duration_hist: hist.to_vec(),
        ..v1::RequestRow::default()
    };
    Sample { owner: Owner::Workload(owner), row: Row::Request(Box::new(row)) }
}

#[cfg(test)]
mod tests;
