//! What lets a row through: its time, its identity, its form.

use proto::v1;

use super::{Appended, NAMED_REJECTIONS, RejectedRow};
use crate::Table;

/// Lets rows through and remembers those that it did not.
pub(super) struct Gate {
    pub(super) oldest: i64,
    pub(super) newest: i64,
    pub(super) identities: usize,
    pub(super) place: i64,
    pub(super) answer: Appended,
}

impl Gate {
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
            () if time < self.oldest => "too_old",
            () if time > self.newest => "too_new",
            () if !valid => "invalid",
            () => {
                self.answer.rows += 1;
                return Some(place);
            }
        };
        self.answer.rejected_rows += 1;
        if self.answer.rejected.len() < NAMED_REJECTIONS {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            self.answer.rejected.push(RejectedRow { table, index, reason });
        }
        None
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
}
impl Checked for v1::LossRow {
    fn ts(&self) -> u64 {
        self.ts
    }
    fn identity(&self) -> Option<u32> {
        None
    }
}
