//! Assembles rows: fills in the window, merges what several probes know of one owner, names the owner, keeps the budget.
//!
//! In: samples by owner key. Out: `Named` rows.
//! Invariants: a row whose owner is not yet known waits at most `PATIENCE`, at most `MAX_WAITING` of them, then goes out
//! under its id; beyond the budget, flows and syscalls fold into `other` rows that conserve their sums, and what cannot
//! be summed is dropped and counted.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use agent_common::workload::HOST_BIT;
use proto::v1;

use super::Window;
use crate::identity::Identities;
use crate::window::sample::{Loss, Owner, Row, Sample};
use fold::{fold, weight};

mod fold;
#[cfg(test)]
mod tests;

/// How long a row waits for the name of its cgroup, which comes by event or walk; names of executables come with a
/// window's end, so those rows wait a window longer.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// Most rows that wait.
pub const MAX_WAITING: u64 = 20_000;

/// A row and whose it is.
#[derive(Clone, Debug)]
pub struct Named {
    /// Whose.
    pub identity: Arc<v1::Identity>,
    /// Complete but for the `identity` index; never `RunQueue`.
    pub row: Row,
}

/// The window stage.
#[derive(Debug)]
pub struct Assembler {
    max_rows: usize,
    window: Duration,
    waiting: VecDeque<(Duration, Sample)>,
    /// Rows of all that waits.
    waiting_rows: u64,
    folds_peers: bool,
}

impl Assembler {
    /// At most `max_rows` rows of one signal in one window.
    pub fn new(max_rows: usize, window_seconds: u32) -> Self {
        let window = Duration::from_secs(u64::from(window_seconds));
        Self { max_rows, window, waiting: VecDeque::new(), waiting_rows: 0, folds_peers: false }
    }

    /// Most rows of one signal in one window.
    pub fn max_rows(&self) -> usize {
        self.max_rows
    }

    fn patience(&self, owner: &Owner) -> Duration {
        match owner {
            Owner::Workload(key) if key & HOST_BIT != 0 => PATIENCE + self.window,
            _ => PATIENCE,
        }
    }

    /// At a window's end: everything that the probes and the usage reader summed up in it.
    pub fn close(
        &mut self,
        window: Window,
        samples: Vec<Sample>,
        usage: Vec<(Owner, v1::UsageRow)>,
        identities: &mut Identities,
        now: Duration,
        losses: &mut Vec<Loss>,
    ) -> Vec<Named> {
        let mut samples = merge_usage(samples, usage);
        for sample in &mut samples {
            stamp(&mut sample.row, window);
        }
        let mut rows = self.pass(samples, identities, now, losses);
        if self.folds_peers {
            let (flows, rest): (Vec<_>, Vec<_>) =
                rows.into_iter().partition(|named| matches!(named.row, Row::Flow(_)));
            rows = rest;
            rows.extend(fold(flows, losses));
        }
        self.keep_budget(&mut rows, losses);
        rows
    }

    /// Whether flows go out as one row per workload instead of one per peer.
    pub fn fold_peers(&mut self, on: bool) {
        self.folds_peers = on;
    }

    /// Names rows; those whose owner is unknown wait for `retry`.
    pub fn pass(
        &mut self,
        samples: Vec<Sample>,
        identities: &mut Identities,
        now: Duration,
        losses: &mut Vec<Loss>,
    ) -> Vec<Named> {
        let mut rows = Vec::with_capacity(samples.len());
        for sample in samples {
            identities.learn(&sample);
            match identities.resolve(&sample.owner) {
                Some(identity) => rows.push(Named { identity, row: sample.row }),
                None if self.waiting_rows < MAX_WAITING => {
                    self.waiting_rows += sample.row.count();
                    self.waiting.push_back((now + self.patience(&sample.owner), sample));
                }
                None => {
                    losses.push(unnamed(&sample.row));
                    rows.push(Named { identity: identities.unnamed(&sample.owner), row: sample.row });
                }
            }
        }
        rows
    }

    /// Names what has waited; what waited too long goes out under its id.
    pub fn retry(
        &mut self,
        identities: &mut Identities,
        now: Duration,
        losses: &mut Vec<Loss>,
    ) -> Vec<Named> {
        let mut rows = Vec::new();
        if self.waiting.is_empty() {
            return rows;
        }
        self.waiting_rows = 0;
        for (until, sample) in std::mem::take(&mut self.waiting) {
            match identities.resolve(&sample.owner) {
                Some(identity) => rows.push(Named { identity, row: sample.row }),
                None if now < until => {
                    self.waiting_rows += sample.row.count();
                    self.waiting.push_back((until, sample));
                }
                None => {
                    losses.push(unnamed(&sample.row));
                    rows.push(Named { identity: identities.unnamed(&sample.owner), row: sample.row });
                }
            }
        }
        rows
    }

    /// Whether a row waits for a name: a walk of the tree may know it.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn keep_budget(&self, rows: &mut Vec<Named>, losses: &mut Vec<Loss>) {
        if rows.len() <= self.max_rows {
            return;
        }
        let mut by_signal: HashMap<&'static str, Vec<Named>> = HashMap::new();
        for named in rows.drain(..) {
            by_signal.entry(table(&named.row)).or_default().push(named);
        }
        for mut of_signal in by_signal.into_values() {
            if of_signal.len() > self.max_rows {
                of_signal.sort_by_key(|named| std::cmp::Reverse(weight(&named.row)));
                let rest = of_signal.split_off(self.max_rows);
                of_signal.extend(fold(rest, losses));
            }
            rows.append(&mut of_signal);
        }
    }
}

/// What goes out under the id of its owner.
fn unnamed(row: &Row) -> Loss {
    Loss { signal: "identity", stage: "identity", reason: "unnamed", count: row.count() }
}

/// Run-queue figures join the usage row of the same owner, and bring one into being where there is none.
fn merge_usage(samples: Vec<Sample>, usage: Vec<(Owner, v1::UsageRow)>) -> Vec<Sample> {
    let mut merged: HashMap<Owner, v1::UsageRow> = usage.into_iter().collect();
    let mut rest = Vec::with_capacity(samples.len() + merged.len());
    for sample in samples {
        let Row::RunQueue(queue) = sample.row else {
            rest.push(sample);
            continue;
        };
        let row = merged.entry(sample.owner).or_default();
        row.switches_voluntary = Some(row.switches_voluntary.unwrap_or(0) + queue.voluntary);
        row.switches_involuntary = Some(row.switches_involuntary.unwrap_or(0) + queue.involuntary);
        add_hist(&mut row.run_queue_hist, &queue.hist);
    }
    rest.extend(merged.into_iter().map(|(owner, row)| Sample { owner, row: Row::Usage(Box::new(row)) }));
    rest
}

fn add_hist(into: &mut Vec<u32>, from: &[u32]) {
    if into.len() < from.len() {
        into.resize(from.len(), 0);
    }
    for (slot, count) in into.iter_mut().zip(from) {
        *slot = slot.saturating_add(*count);
    }
}

/// Window rows carry their window; events carry their own time.
fn stamp(row: &mut Row, window: Window) {
    let (ts, window_s) = match row {
        Row::Flow(row) => (&mut row.ts, &mut row.window_s),
        Row::Drop(row) => (&mut row.ts, &mut row.window_s),
        Row::Usage(row) => (&mut row.ts, &mut row.window_s),
        Row::Syscall(row) => (&mut row.ts, &mut row.window_s),
        Row::SyscallLatency(row) => (&mut row.ts, &mut row.window_s),
        Row::Block(row) => (&mut row.ts, &mut row.window_s),
        Row::Request(row) => (&mut row.ts, &mut row.window_s),
        Row::RunQueue(_) | Row::Process(_) | Row::Log(_) | Row::Spans(_) => return,
    };
    *ts = window.start_ns;
    *window_s = window.seconds;
}

/// The table that a row belongs to.
pub(crate) fn table(row: &Row) -> &'static str {
    match row {
        Row::Flow(_) => "flow",
        Row::Drop(_) => "drop",
        Row::Usage(_) | Row::RunQueue(_) => "usage",
        Row::Syscall(_) => "syscall",
        Row::SyscallLatency(_) => "syscall_latency",
        Row::Block(_) => "block",
        Row::Request(_) => "request",
        Row::Process(_) => "process",
        Row::Log(_) => "log",
        Row::Spans(_) => "span",
    }
}

/// The signal under which the loss ledger books a row.
pub(crate) fn signal(table: &'static str) -> &'static str {
    match table {
        "drop" => "flow",
        "syscall_latency" => "syscall",
        other => other,
    }
}
