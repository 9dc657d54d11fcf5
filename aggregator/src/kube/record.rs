//! The record of the cluster: its Events and the changes of its objects become rows like an agent's.
//!
//! In: rows of `events` and `changes`. Out: batches of a source of its own, which the store acknowledges like any
//! other; one that may or may not have been stored is sent again under the same (epoch, seq). What was recorded before
//! a restart is read back from the store (`known`) before the watch begins, so that a new list of the same objects adds
//! nothing and is not even told.
//! Bounded: rows wait in a queue, and its end holds the watch of Events back; changes that are missed meanwhile are
//! counted in the loss ledger.

mod known;

use std::sync::Arc;
use std::time::Duration;

use daemon::clock::Clock;
use daemon::shutdown::Token;
use prost::Message as _;
use proto::v1;
use store::Store;
use tokio::sync::mpsc;

use super::{Kube, changes, events};
pub(super) use known::Known;

/// Whose batches these are; no node is called so.
const NODE: &str = "/kubernetes";
/// Rows of one batch, and how long one waits for more of them.
const ROWS: usize = 500;
const GATHER: Duration = Duration::from_millis(200);
/// Rows that wait; then whoever makes them does.
const QUEUE: usize = 2_048;
/// Between two attempts, unless the store says how long.
const PAUSE: Duration = Duration::from_millis(500);

/// A row, and whom it is about.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Row {
    Event(v1::Identity, v1::KubeEventRow),
    Change(v1::Identity, v1::ObjectChangeRow),
    /// Changes that came faster than they were taken.
    Lost(u64),
}

/// Records until the token's phase begins. The watch must begin after this has returned, so that what it tells is taken
/// from the first moment.
pub(crate) async fn spawn(kube: &Arc<Kube>, store: Arc<Store>, token: Token) {
    let (kube, clock) = (Arc::clone(kube), kube.clock.clone());
    let known = Known::read(&store, clock.now_unix_ns()).await;
    let known = Arc::clone(kube.known.get_or_init(|| Arc::new(known)));
    let changes = kube.subscribe();
    tokio::spawn(async move {
        let (sender, rows) = mpsc::channel(QUEUE);
        // the queue ends when nobody watches any more, and what is in it is written
        let watched = async {
            let (sender, kube, known) = (sender, &*kube, &known);
            tokio::select! {
                () = token.stopped() => {}
                ((), ()) = async {
                    tokio::join!(
                        changes::run(kube, changes, sender.clone()),
                        events::run(kube, known, sender.clone()),
                    )
                } => {}
            }
        };
        let epoch = clock.now_unix_ns();
        let mut writer = Writer { store: &store, epoch, seq: 0, clock: &clock, token: Some(&token) };
        tokio::join!(watched, writer.run(rows));
        drop(token);
    });
}

/// Makes batches of rows and has them stored.
struct Writer<'a> {
    store: &'a Store,
    /// Later than that of any process before.
    epoch: u64,
    seq: u64,
    clock: &'a Clock,
    /// Once it is stopped a refused batch is not tried again.
    token: Option<&'a Token>,
}

impl Writer<'_> {
    async fn run(&mut self, mut rows: mpsc::Receiver<Row>) {
        let mut taken = Vec::new();
        while rows.recv_many(&mut taken, ROWS).await > 0 {
            let until = tokio::time::Instant::now() + GATHER;
            while taken.len() < ROWS {
                match tokio::time::timeout_at(until, rows.recv()).await {
                    Ok(Some(row)) => taken.push(row),
                    Ok(None) | Err(_) => break,
                }
            }
            self.write(std::mem::take(&mut taken)).await;
        }
    }

    /// Returns once the rows are stored, or refused for good.
    async fn write(&mut self, rows: Vec<Row>) {
        let count = rows.len();
        let payload = payload(rows, self.clock.now_unix_ns()).encode_to_vec();
        let packed = match zstd::bulk::compress(&payload, 1) {
            Ok(packed) => packed,
            Err(error) => return tracing::error!(%error, count, "rows of Kubernetes not packed, lost"),
        };
        self.seq += 1;
        let batch = v1::Batch {
            node: NODE.to_owned(),
            epoch: self.epoch,
            seq: self.seq,
            zstd_payload: packed.into(),
            unpacked_bytes: payload.len() as u64,
        };
        loop {
            let now_ns = i64::try_from(self.clock.now_unix_ns()).unwrap_or(i64::MAX);
            match self.store.append(&batch, now_ns).await {
                Ok(appended) if appended.rejected_rows > 0 => {
                    let reason = appended.rejected.first().map_or("", |row| row.reason);
                    return tracing::warn!(
                        rejected = appended.rejected_rows,
                        reason,
                        "rows of Kubernetes refused"
                    );
                }
                Ok(_) => return,
                Err(refused) if refused.code.is_retryable() => {
                    let pause = tokio::time::sleep(PAUSE.max(Duration::from_millis(refused.retry_after_ms)));
                    tokio::select! {
                        () = pause => {}
                        () = stopped(self.token) => {
                            return tracing::warn!(detail = %refused.detail, count, "rows of Kubernetes lost at the stop");
                        }
                    }
                }
                Err(refused) => {
                    return tracing::error!(detail = %refused.detail, count, "rows of Kubernetes refused, lost");
                }
            }
        }
    }
}

async fn stopped(token: Option<&Token>) {
    match token {
        Some(token) => token.stopped().await,
        None => std::future::pending().await,
    }
}

fn payload(rows: Vec<Row>, now_ns: u64) -> v1::Payload {
    let mut payload = v1::Payload::default();
    let mut lost = 0;
    for row in rows {
        let mut place = |identity: v1::Identity| {
            let known = payload.identities.iter().rposition(|before| *before == identity);
            let place = known.unwrap_or_else(|| {
                payload.identities.push(identity);
                payload.identities.len() - 1
            });
            u32::try_from(place).unwrap_or(u32::MAX)
        };
        match row {
            Row::Event(identity, row) => {
                let identity = place(identity);
                payload.kube_events.push(v1::KubeEventRow { identity, ..row });
            }
            Row::Change(identity, row) => {
                let identity = place(identity);
                payload.object_changes.push(v1::ObjectChangeRow { identity, ..row });
            }
            Row::Lost(count) => lost += count,
        }
    }
    if lost > 0 {
        payload.losses.push(v1::LossRow {
            ts: now_ns,
            window_s: 1,
            signal: "kubernetes".to_owned(),
            stage: "ingest".to_owned(),
            reason: "queue_full".to_owned(),
            count: lost,
        });
    }
    payload
}

#[cfg(test)]
mod tests;
