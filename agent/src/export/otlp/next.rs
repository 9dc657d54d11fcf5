//! What is sent next: what waits and what is on disk take turns, so that after an outage neither holds up the other.

use std::collections::BTreeMap;

use crate::export::SharedSpool;
use crate::export::spool::{self, BatchId, Kept};

/// Which batch is in hand.
#[derive(Clone, Copy, Debug)]
pub(super) enum Batch {
    /// One that waits, by its number there.
    Direct(u64),
    /// One on disk.
    Spooled(BatchId),
}

/// A batch, and what is in it.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) batch: Batch,
    pub(super) payload: Kept,
}

/// The next batch, if there is one; `was_direct` is kept from call to call.
pub(super) fn of(spool: &SharedSpool, was_direct: &mut bool) -> Option<Next> {
    let direct = || {
        let (number, payload) = spool.direct.next()?;
        Some(Next { batch: Batch::Direct(number), payload: Kept::Unpacked(payload) })
    };
    let spooled = || {
        let spool::Next { id, payload } = spool.lock().next_payload()?;
        Some(Next { batch: Batch::Spooled(id), payload })
    };
    let next = if *was_direct { spooled().or_else(direct) } else { direct().or_else(spooled) };
    *was_direct = matches!(next, Some(Next { batch: Batch::Direct(_), .. }));
    next
}

/// It was delivered, or is lost. Its rows, if it was never on disk.
pub(super) fn done(spool: &SharedSpool, batch: Batch) -> Option<BTreeMap<&'static str, u64>> {
    let rows = match batch {
        Batch::Direct(number) => spool.direct.done(number),
        Batch::Spooled(id) => Err(id),
    };
    if let Err(id) = rows {
        spool.lock().acked(id);
    }
    rows.ok()
}
