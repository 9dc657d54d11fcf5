//! What is known of an edge: its packets, and its requests by protocol.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::histogram::{BUCKETS, bucket, quantile_ns};
use serde_json::{Map, Value, json};

use super::who::{Who, name};
use crate::requests::counted::Weight;
use crate::requests::pairs::{Alone, Request};

/// Protocols of one edge.
const MOST_PROTOCOLS: usize = 16;
/// Requests of protocols beyond these.
pub(super) const OTHER: &str = "other";

/// What flows say of an edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::api::map) struct Traffic {
    pub(in crate::api::map) bytes_sent: i64,
    pub(in crate::api::map) bytes_received: i64,
    pub(in crate::api::map) connections: i64,
    pub(in crate::api::map) failures: i64,
    pub(in crate::api::map) resets: i64,
    pub(in crate::api::map) retransmits: i64,
    pub(in crate::api::map) srtt_us: Option<i64>,
}

impl Traffic {
    pub(super) fn add(&mut self, more: Self) {
        let Self { bytes_sent, bytes_received, connections, failures, resets, retransmits, srtt_us } = more;
        for (sum, more) in [
            (&mut self.bytes_sent, bytes_sent),
            (&mut self.bytes_received, bytes_received),
            (&mut self.connections, connections),
            (&mut self.failures, failures),
            (&mut self.resets, resets),
            (&mut self.retransmits, retransmits),
        ] {
            *sum = sum.saturating_add(more);
        }
        // the busiest part comes first
        self.srtt_us = self.srtt_us.or(srtt_us);
    }
}

/// Requests of one protocol. Durations as the client and as the server saw them; empty where none did.
#[derive(Debug, Default)]
pub(super) struct Requests {
    count: u64,
    errors: u64,
    client: Vec<u64>,
    server: Vec<u64>,
}

impl Requests {
    pub(super) fn add(&mut self, request: Request<'_>) {
        self.count += 1;
        self.errors += u64::from(request.failed());
        for (side, counts) in [(request.client, &mut self.client), (request.server, &mut self.server)] {
            if let Some(side) = side {
                if counts.is_empty() {
                    counts.resize(BUCKETS, 0);
                }
                counts[bucket(u64::try_from(side.duration_ns).unwrap_or(0))] += 1;
            }
        }
    }

    /// So many more, as one end counted them.
    pub(super) fn add_counted(&mut self, alone: &Alone, weight: &Weight) {
        self.count += weight.count;
        self.errors += if alone.side.failed { weight.count } else { 0 };
        let counts = if alone.is_client { &mut self.client } else { &mut self.server };
        if counts.is_empty() {
            counts.resize(BUCKETS, 0);
        }
        counts.iter_mut().zip(&weight.hist).for_each(|(count, more)| *count += more);
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn merge(&mut self, more: Self) {
        self.count += more.count;
        self.errors += more.errors;
        for (counts, more) in [(&mut self.client, more.client), (&mut self.server, more.server)] {
            if counts.is_empty() {
                *counts = more;
            } else {
                counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
            }
        }
    }
}

/// What is known between a client and a server.
#[derive(Debug, Default)]
pub(super) struct Edge {
    /// As clients and as servers saw it.
    pub(super) flows: [Option<Traffic>; 2],
    /// What applications told of, and what agents saw.
    pub(super) requests: [BTreeMap<Arc<str>, Requests>; 2],
}

impl Edge {
    /// By protocol. Of requests that both tell of each is known twice, and nobody can say which: the one that knows more
    /// counts.
    fn by_protocol(&self) -> BTreeMap<&Arc<str>, &Requests> {
        let mut all: BTreeMap<&Arc<str>, &Requests> = BTreeMap::new();
        for (protocol, requests) in self.requests.iter().flatten() {
            let most = all.entry(protocol).or_insert(requests);
            if requests.count >= most.count {
                *most = requests;
            }
        }
        all
    }

    /// Under which name requests of this protocol are counted: the last ones all under the same.
    pub(super) fn place(&self, is_wake: bool, protocol: Arc<str>) -> Arc<str> {
        let requests = &self.requests[usize::from(is_wake)];
        let has_room = requests.contains_key(&protocol) || requests.len() < MOST_PROTOCOLS;
        if has_room { protocol } else { Arc::from(OTHER) }
    }

    /// Takes in what is known under another name of the same two.
    pub(super) fn merge(&mut self, more: Self) {
        for (sum, more) in self.flows.iter_mut().zip(more.flows) {
            if let Some(more) = more {
                sum.get_or_insert_default().add(more);
            }
        }
        for (is_wake, requests) in [false, true].into_iter().zip(more.requests) {
            for (protocol, requests) in requests {
                let protocol = self.place(is_wake, protocol);
                self.requests[usize::from(is_wake)].entry(protocol).or_default().merge(requests);
            }
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.by_protocol().values().map(|requests| requests.count).sum()
    }

    /// What its client saw, else its server.
    pub(super) fn traffic(&self) -> Option<Traffic> {
        self.flows[0].or(self.flows[1])
    }
}

/// An object without what is absent.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(mut map) => {
            map.retain(|_, value| !value.is_null());
            map
        }
        _ => Map::new(),
    }
}

/// How an edge is shown.
pub(super) fn edge_row((client, server): &(Who, Who), edge: &Edge, seconds: f64) -> Map<String, Value> {
    let mut requests: Vec<(&Arc<str>, &Requests)> = edge.by_protocol().into_iter().collect();
    requests.sort_by_key(|(_, requests)| std::cmp::Reverse(requests.count));
    let requests = requests.into_iter().map(|(protocol, requests)| {
        let by_client = !requests.client.is_empty();
        let counts = if by_client { &requests.client } else { &requests.server };
        let us = |fraction: f64| quantile_ns(counts, fraction).map(|ns| ns / 1e3);
        Value::Object(object(json!({
            "protocol": Some(protocol.as_ref()).filter(|protocol| !protocol.is_empty()),
            "count": requests.count,
            "errors": requests.errors,
            "per_s": requests.count as f64 / seconds,
            "p50_us": us(0.5),
            "p99_us": us(0.99),
            "seen_by": if by_client { "client" } else { "server" },
        })))
    });
    let mut row = object(json!({
        "client": name(client), "server": name(server), "requests": requests.collect::<Vec<_>>(),
    }));
    if let Some(traffic) = edge.traffic() {
        let Traffic { bytes_sent, bytes_received, connections, failures, resets, retransmits, srtt_us } =
            traffic;
        row.extend(object(json!({
            "bytes_sent": bytes_sent,
            "bytes_received": bytes_received,
            "connections": connections,
            "failures": failures,
            "resets": resets,
            "retransmits": retransmits,
            "srtt_us": srtt_us,
        })));
    }
    row
}
