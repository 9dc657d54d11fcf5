//! What lets a row through: its time, its identity, its form. What it does not let through it books as lost.

use proto::v1;

use super::{Appended, NAMED_REJECTIONS, NS, Rejected, RejectedRow};
use crate::{Limits, Table};

/// A loss may be as old as this: it is booked when somebody comes back after a long time. One that is older is dated so.
const LOSS_PAST_S: i64 = 7 * 86_400;

/// Lets rows through and remembers those that it did not.
pub(super) struct Gate {
    now: i64,
    oldest: i64,
    newest: i64,
    identities: usize,
    pub(super) place: i64,
    pub(super) answer: Appended,
    /// Beside `answer.rejected_by`: where and when.
    spans: Vec<Span>,
}

/// The first place of some rows that were left out, and the oldest and the newest of their times.
struct Span {
    place: i64,
    from: i64,
    to: i64,
}

impl Gate {
    pub(super) fn new(now_ns: i64, limits: &Limits, identities: usize) -> Self {
        let ns = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(NS);
        Self {
            now: now_ns,
            oldest: now_ns.saturating_sub(ns(limits.max_past_s)),
            newest: now_ns.saturating_add(ns(limits.max_future_s)),
            identities,
            place: 0,
            answer: Appended::default(),
            spans: Vec::new(),
        }
    }

    /// The nearest time that a loss may have.
    pub(super) fn loss_time(&self, ts: u64) -> i64 {
        let oldest = self.now.saturating_sub(LOSS_PAST_S * NS).min(self.oldest).max(0);
        i64::try_from(ts).unwrap_or(i64::MAX).clamp(oldest, self.newest.max(oldest))
    }

    /// What was left out, as rows of the ledger, each in the place of the first row that it counts.
    pub(super) fn losses(&self) -> impl Iterator<Item = (i64, v1::LossRow)> {
        self.answer.rejected_by.iter().zip(&self.spans).map(|(rejected, span)| {
            let seconds = span.to.saturating_sub(span.from).unsigned_abs().div_ceil(NS.unsigned_abs());
            let row = v1::LossRow {
                ts: span.from.unsigned_abs(),
                window_s: u32::try_from(seconds).unwrap_or(u32::MAX),
                signal: rejected.table.signal().to_owned(),
                stage: String::from("store"),
                reason: rejected.reason.to_owned(),
                count: rejected.rows,
            };
            (span.place, row)
        })
    }

    /// The row's place in the batch if it may pass.
    pub(super) fn check(
        &mut self,
        table: Table,
        index: usize,
        ts: u64,
        identity: Option<u32>,
        valid: bool,
    ) -> Option<i64> {
        let place = self.place;
        self.place += 1;
        let time = i64::try_from(ts).unwrap_or(i64::MAX);
        let known = identity.is_none_or(|identity| (identity as usize) < self.identities);
        let reason = match () {
            () if !known => "unknown_identity",
            () if time < self.oldest && table != Table::Loss => "too_old",
            () if time > self.newest => "too_new",
            () if !valid => "invalid",
            () => {
                self.answer.rows += 1;
                return Some(place);
            }
        };
        self.answer.rejected_rows += 1;
        self.book(table, reason, place, self.loss_time(ts));
        if self.answer.rejected.len() < NAMED_REJECTIONS {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            self.answer.rejected.push(RejectedRow { table, index, reason });
        }
        None
    }

    fn book(&mut self, table: Table, reason: &'static str, place: i64, time: i64) {
        let known = &mut self.answer.rejected_by;
        match known.iter().position(|rejected| rejected.table == table && rejected.reason == reason) {
            Some(at) => {
                known[at].rows += 1;
                let span = &mut self.spans[at];
                (span.from, span.to) = (span.from.min(time), span.to.max(time));
            }
            None => {
                known.push(Rejected { table, reason, rows: 1 });
                self.spans.push(Span { place, from: time, to: time });
            }
        }
    }
}

/// What admission asks of a row.
pub(super) trait Checked {
    fn ts(&self) -> u64;
    fn identity(&self) -> Option<u32>;
    fn histogram(&self) -> &[u32] {
        &[]
    }
}

macro_rules! checked {
    ($($row:ident $(, $histogram:ident)?;)*) => {$(
        impl Checked for v1::$row {
            fn ts(&self) -> u64 {
                self.ts
            }
            fn identity(&self) -> Option<u32> {
                Some(self.identity)
            }
            $(fn histogram(&self) -> &[u32] {
                &self.$histogram
            })?
        }
    )*};
}
checked! {
    FlowRow, rtt_hist;
    DropRow;
    UsageRow, run_queue_hist;
    SyscallRow;
    SyscallLatencyRow, latency_hist;
    BlockRow, latency_hist;
    ProcessRow;
    KubeEventRow;
    ObjectChangeRow;
    SpanRow;
    RequestRow, duration_hist;
}
impl Checked for v1::LossRow {
    fn ts(&self) -> u64 {
        self.ts
    }
    fn identity(&self) -> Option<u32> {
        None
    }
}
