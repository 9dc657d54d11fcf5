//! Flow rows from what the programs counted: differences of two readings, addresses and names as text.
//!
//! In: the structs of `agent_common::flows`, whatever their bytes. Out: samples for the window. Pure, never panics.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use agent_common::flows::{
    Conn, DropKey, Drops, Edge, EdgeKey, NO_REASON, ROLE_CLIENT, ROLE_SERVER, TCP, UDP,
};
use proto::v1::{DropRow, FlowRow};

use crate::window::sample::{Owner, Row, Sample};

/// What was read of a connection the last time; zeros before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnRead {
    bytes_sent: u64,
    bytes_received: u64,
    packets_sent: u64,
    packets_received: u64,
    retransmits: u32,
    resets: u32,
}

impl From<&Conn> for ConnRead {
    fn from(conn: &Conn) -> Self {
        Self {
            bytes_sent: conn.bytes_sent,
            bytes_received: conn.bytes_received,
            packets_sent: conn.packets_sent,
            packets_received: conn.packets_received,
            retransmits: conn.retransmits.wrapping_sub(conn.retransmits_before),
            resets: conn.resets,
        }
    }
}

/// One connection since it was last read; `boot_to_unix_ns` turns the kernel's stamps into wall time.
/// `None` where nothing happened on it.
pub fn conn(conn: &Conn, before: Option<&ConnRead>, boot_to_unix_ns: i64) -> Option<Sample> {
    let now = ConnRead::from(conn);
    let first = before.is_none();
    let before = before.copied().unwrap_or_default();
    if now == before && conn.closed_ns == 0 && !(first && conn.opened_ns != 0) {
        return None;
    }
    let wall = |boot_ns: u64| (boot_ns != 0).then(|| boot_ns.saturating_add_signed(boot_to_unix_ns));
    let client_port = if conn.edge.role == ROLE_SERVER { conn.peer_port } else { conn.local_port };
    let row = FlowRow {
        client_port: Some(u32::from(client_port)),
        bytes_sent: now.bytes_sent.saturating_sub(before.bytes_sent),
        bytes_received: now.bytes_received.saturating_sub(before.bytes_received),
        packets_sent: now.packets_sent.saturating_sub(before.packets_sent),
        packets_received: now.packets_received.saturating_sub(before.packets_received),
        retransmits: u64::from(now.retransmits.saturating_sub(before.retransmits)),
        resets: u64::from(now.resets.saturating_sub(before.resets)),
        srtt_us: measured(conn.srtt_us),
        opened_ts: wall(conn.opened_ns),
        closed_ts: wall(conn.closed_ns),
        ..named(&conn.edge)
    };
    Some(sample(conn.edge.owner, Row::Flow(Box::new(row))))
}

/// One edge since it was last read; `None` where nothing happened on it.
pub fn edge(key: &EdgeKey, now: &Edge, before: Option<&Edge>) -> Option<Sample> {
    let since = |field: fn(&Edge) -> u64| field(now).saturating_sub(before.map_or(0, field));
    let connects = since(|edge| edge.connects);
    let row = FlowRow {
        bytes_sent: since(|edge| edge.bytes_sent),
        bytes_received: since(|edge| edge.bytes_received),
        packets_sent: since(|edge| edge.packets_sent),
        packets_received: since(|edge| edge.packets_received),
        connects,
        accepts: since(|edge| edge.accepts),
        failures: since(|edge| edge.failures),
        resets: since(|edge| edge.resets),
        retransmits: since(|edge| edge.retransmits),
        closes: since(|edge| edge.closes),
        connect_us_sum: (connects > 0).then(|| since(|edge| edge.connect_ns) / 1000),
        rtt_hist: histogram(now, before),
        ..named(key)
    };
    let counts = [
        row.packets_sent,
        row.packets_received,
        row.connects,
        row.accepts,
        row.failures,
        row.resets,
        row.retransmits,
        row.closes,
    ];
    let quiet = counts.iter().all(|count| *count == 0) && row.rtt_hist.is_empty();
    // the last round trip belongs to this window only if it was taken in it
    let srtt_us = if row.rtt_hist.is_empty() { None } else { measured(now.srtt_us) };
    (!quiet).then(|| sample(key.owner, Row::Flow(Box::new(FlowRow { srtt_us, ..row }))))
}

/// Drops of one kind since they were last read.
pub fn drops(key: &DropKey, now: &Drops, before: Option<&Drops>, reasons: &DropReasons) -> Option<Sample> {
    let packets = now.packets.saturating_sub(before.map_or(0, |drops| drops.packets));
    if packets == 0 {
        return None;
    }
    let row = DropRow {
        reason: reasons.name(key.reason).into_owned(),
        protocol: protocol(key.protocol).into_owned(),
        packets,
        bytes: now.bytes.saturating_sub(before.map_or(0, |drops| drops.bytes)),
        ..DropRow::default()
    };
    let owner = if key.owner == 0 { Owner::Host("kernel".into()) } else { Owner::Workload(key.owner) };
    Some(Sample { owner, row: Row::Drop(row) })
}

/// The running kernel's names of drop reasons.
#[derive(Clone, Debug, Default)]
pub struct DropReasons(BTreeMap<u32, String>);

impl DropReasons {
    /// From the enumerators of `enum skb_drop_reason`.
    pub fn new(enumerators: impl IntoIterator<Item = (String, i64)>) -> Self {
        let short = |name: String| match name.strip_prefix("SKB_DROP_REASON_") {
            Some(short) => short.to_owned(),
            None => name,
        };
        let named = enumerators
            .into_iter()
            .filter_map(|(name, value)| Some((u32::try_from(value).ok()?, short(name))));
        Self(named.collect())
    }

    /// The kernel's own name, without the prefix that all share.
    fn name(&self, reason: u32) -> Cow<'_, str> {
        match self.0.get(&reason) {
            Some(name) => Cow::Borrowed(name),
            None if reason == NO_REASON => Cow::Borrowed("UNKNOWN"),
            // subsystems number their own reasons above the enum's
            None => Cow::Owned(format!("REASON_{reason}")),
        }
    }
}

/// An address in network order as text, IPv4 in its own form; empty for none (an `other` edge).
fn address(words: [u32; 4]) -> String {
    let mut bytes = [0_u8; 16];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    let v6 = Ipv6Addr::from(bytes);
    if v6.is_unspecified() {
        return String::new();
    }
    v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4).to_string()
}

fn named(key: &EdgeKey) -> FlowRow {
    let role = match key.role {
        ROLE_CLIENT => "client",
        ROLE_SERVER => "server",
        _ => "unknown",
    };
    FlowRow {
        role: role.to_owned(),
        protocol: protocol(key.protocol).into_owned(),
        peer_address: address(key.peer),
        server_port: u32::from(key.port),
        ..FlowRow::default()
    }
}

fn protocol(number: u8) -> Cow<'static, str> {
    match number {
        TCP => Cow::Borrowed("tcp"),
        UDP => Cow::Borrowed("udp"),
        1 => Cow::Borrowed("icmp"),
        58 => Cow::Borrowed("icmpv6"),
        132 => Cow::Borrowed("sctp"),
        other => Cow::Owned(format!("ip-{other}")),
    }
}

/// Samples since the last reading; empty where there is none.
fn histogram(now: &Edge, before: Option<&Edge>) -> Vec<u32> {
    let mut counts = now.rtt.to_vec();
    if let Some(before) = before {
        for (count, had) in counts.iter_mut().zip(before.rtt) {
            *count = count.wrapping_sub(had);
        }
    }
    if counts.iter().all(|count| *count == 0) { Vec::new() } else { counts }
}

fn measured(us: u32) -> Option<u64> {
    (us != 0).then(|| u64::from(us))
}

fn sample(owner: u64, row: Row) -> Sample {
    Sample { owner: Owner::Workload(owner), row }
}

#[cfg(test)]
mod tests;
