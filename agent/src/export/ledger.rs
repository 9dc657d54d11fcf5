//! The ledger of loss: what was lost anywhere in the agent, per signal, stage and reason, until a `LossRow` carries it on.
//!
//! Invariant: every loss is in exactly one place, here or in a row on its way; a batch that is dropped gives its loss
//! rows back.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use proto::v1;

use crate::window::Window;
use crate::window::sample::Loss;

/// Most distinct kinds of loss; ours have some dozens.
const MAX_KINDS: usize = 512;

type Text = Cow<'static, str>;
/// Signal, stage and reason.
type Kind = (Text, Text, Text);

/// Labels of `lost_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub struct LossLabels {
    signal: String,
    stage: String,
    reason: String,
}

/// The ledger; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    open: Arc<Mutex<BTreeMap<Kind, u64>>>,
    total: Family<LossLabels, Counter>,
}

impl Ledger {
    /// An empty ledger that counts into this metric.
    pub fn new(total: Family<LossLabels, Counter>) -> Self {
        Self { open: Arc::default(), total }
    }

    /// Books a loss.
    pub fn add(&self, loss: &Loss) {
        let Loss { signal, stage, reason, count } = *loss;
        if count == 0 {
            return;
        }
        let labels = LossLabels { signal: signal.into(), stage: stage.into(), reason: reason.into() };
        self.total.get_or_create(&labels).inc_by(count);
        self.book((signal.into(), stage.into(), reason.into()), count);
    }

    /// Takes back the rows of a batch that will not arrive: they were counted once already.
    pub fn put_back(&self, rows: &[v1::LossRow]) {
        for row in rows {
            let key = (row.signal.clone().into(), row.stage.clone().into(), row.reason.clone().into());
            self.book(key, row.count);
        }
    }

    fn book(&self, key: Kind, count: u64) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let key = if open.len() >= MAX_KINDS && !open.contains_key(&key) {
            (key.0, key.1, Text::Borrowed("other"))
        } else {
            key
        };
        *open.entry(key).or_default() += count;
    }

    /// Everything since the last call, as rows of this window.
    pub fn take(&self, window: Window) -> Vec<v1::LossRow> {
        let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        open.into_iter()
            .map(|((signal, stage, reason), count)| v1::LossRow {
                ts: window.start_ns,
                window_s: window.seconds,
                signal: signal.into_owned(),
                stage: stage.into_owned(),
                reason: reason.into_owned(),
                count,
            })
            .collect()
    }
}

/// Signals are a closed set; what an older spool holds under another name is booked as `other`.
pub(crate) fn signal_named(name: &str) -> &'static str {
    ["flow", "log", "usage", "syscall", "process", "block", "identity", "batch"]
        .into_iter()
        .find(|known| *known == name)
        .unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::Ledger;
    use crate::window::Window;
    use crate::window::sample::Loss;

    const WINDOW: Window = Window { start_ns: 0, seconds: 10 };

    #[test]
    fn what_is_put_back_comes_out_again_once() {
        let ledger = Ledger::default();
        let loss = Loss { signal: "flow", stage: "kernel", reason: "map_full", count: 3 };
        ledger.add(&loss);
        ledger.add(&loss);
        let rows = ledger.take(WINDOW);
        assert_eq!((rows.len(), rows[0].count), (1, 6));
        assert!(ledger.take(WINDOW).is_empty());
        ledger.put_back(&rows);
        ledger.add(&loss);
        assert_eq!(ledger.take(WINDOW)[0].count, 9);
    }
}
