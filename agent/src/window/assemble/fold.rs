//! Rows beyond a budget: what can be added up becomes one `other` row per workload, the rest is counted lost.

use std::collections::HashMap;
use std::sync::Arc;

use proto::v1;

use super::{Named, add_hist, signal, table};
use crate::window::sample::{Loss, Row};

/// What matters most stays a row of its own.
pub(super) fn weight(row: &Row) -> u64 {
    match row {
        Row::Flow(row) => row.bytes_sent.saturating_add(row.bytes_received),
        Row::Drop(row) => row.packets,
        Row::Usage(row) => row.cpu_usage_ns.unwrap_or(0),
        Row::Syscall(row) => row.count,
        Row::Block(row) => row.bytes,
        Row::Request(row) => row.count,
        Row::SyscallLatency(_) | Row::RunQueue(_) | Row::Process(_) | Row::Log(_) | Row::Spans(_) => 0,
    }
}

/// Owner, kind, protocol, status, and whether they have spans.
type Requests = (usize, String, String, String, bool);

/// Rows beyond the budget: flows, syscalls and requests become one `other` row per workload, the rest is counted lost.
pub(super) fn fold(rest: Vec<Named>, losses: &mut Vec<Loss>) -> Vec<Named> {
    let mut flows: HashMap<(usize, String, String), (Arc<v1::Identity>, v1::FlowRow)> = HashMap::new();
    let mut syscalls: HashMap<(usize, String), (Arc<v1::Identity>, v1::SyscallRow)> = HashMap::new();
    let mut requests: HashMap<Requests, (Arc<v1::Identity>, v1::RequestRow)> = HashMap::new();
    let mut lost: HashMap<&'static str, u64> = HashMap::new();
    for Named { identity, row } in rest {
        let owner = Arc::as_ptr(&identity) as usize;
        match row {
            Row::Flow(row) => {
                let key = (owner, row.role.clone(), row.protocol.clone());
                let (_, into) = flows.entry(key).or_insert_with(|| (identity, other_flow(&row)));
                add_flow(into, &row);
            }
            Row::Syscall(row) => {
                let (_, into) = syscalls
                    .entry((owner, row.abi.clone()))
                    .or_insert_with(|| (identity, other_syscall(&row)));
                into.count += row.count;
                into.errors += row.errors;
                for (errno, count) in row.errnos {
                    *into.errnos.entry(errno).or_default() += count;
                }
            }
            Row::Request(row) => {
                let (kind, protocol, status) = (row.kind.clone(), row.protocol.clone(), row.status.clone());
                let key = (owner, kind, protocol, status, row.spans > 0);
                let (_, into) = requests.entry(key).or_insert_with(|| (identity, other_request(&row)));
                add_request(into, &row);
            }
            row => *lost.entry(signal(table(&row))).or_default() += 1,
        }
    }
    let budget = |(signal, count)| Loss { signal, stage: "window", reason: "row_budget", count };
    losses.extend(lost.into_iter().map(budget));
    let flows = flows.into_values().map(|(identity, row)| Named { identity, row: Row::Flow(Box::new(row)) });
    let syscalls = syscalls.into_values().map(|(identity, row)| Named { identity, row: Row::Syscall(row) });
    let requests =
        requests.into_values().map(|(identity, row)| Named { identity, row: Row::Request(Box::new(row)) });
    flows.chain(syscalls).chain(requests).collect()
}

fn other_request(like: &v1::RequestRow) -> v1::RequestRow {
    v1::RequestRow {
        ts: like.ts,
        window_s: like.window_s,
        kind: like.kind.clone(),
        protocol: like.protocol.clone(),
        name: String::from("other"),
        status: like.status.clone(),
        ..v1::RequestRow::default()
    }
}

fn add_request(into: &mut v1::RequestRow, row: &v1::RequestRow) {
    into.count += row.count;
    into.spans += row.spans;
    into.unseen += row.unseen;
    into.duration_ns_sum = into.duration_ns_sum.saturating_add(row.duration_ns_sum);
    add_hist(&mut into.duration_hist, &row.duration_hist);
}

fn other_flow(like: &v1::FlowRow) -> v1::FlowRow {
    v1::FlowRow {
        ts: like.ts,
        window_s: like.window_s,
        role: like.role.clone(),
        protocol: like.protocol.clone(),
        peer_workload: String::from("other"),
        ..v1::FlowRow::default()
    }
}

fn other_syscall(like: &v1::SyscallRow) -> v1::SyscallRow {
    v1::SyscallRow {
        ts: like.ts,
        window_s: like.window_s,
        syscall: String::from("other"),
        class: String::from("other"),
        abi: like.abi.clone(),
        ..v1::SyscallRow::default()
    }
}

fn add_flow(into: &mut v1::FlowRow, row: &v1::FlowRow) {
    into.bytes_sent += row.bytes_sent;
    into.bytes_received += row.bytes_received;
    into.packets_sent += row.packets_sent;
    into.packets_received += row.packets_received;
    into.connects += row.connects;
    into.accepts += row.accepts;
    into.failures += row.failures;
    into.resets += row.resets;
    into.retransmits += row.retransmits;
    into.closes += row.closes;
    add_hist(&mut into.rtt_hist, &row.rtt_hist);
    if let Some(micros) = row.connect_us_sum {
        into.connect_us_sum = Some(into.connect_us_sum.unwrap_or(0) + micros);
    }
}
