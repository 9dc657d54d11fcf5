//! Writes batches to the spool: rows at window ends, log chunks as they come, one `sync` for what came together.
//!
//! In: a bounded queue of `Item`s and the log reader. Out: durable batches, for `client`.
//! When full: rows that the spool refuses are counted per signal as `spool_full`, and these counts are spooled by
//! themselves, since a restart would forget them; logs wait in their files. The order
//! for logs is: spool record with marks → sync → `Checkpoints::commit`; the checkpoint file is made durable before a
//! spool file goes.

use std::sync::Arc;
use std::time::Duration;

use daemon::clock::Clock;
use daemon::log::Repeated;
use daemon::shutdown::Token;
use proto::v1;
use tokio::sync::mpsc::Receiver;

use crate::export::SharedSpool;
use crate::export::batch::{Batcher, Unpacked};
use crate::export::direct::Ticket;
use crate::export::ledger::Ledger;
use crate::export::spool::{BatchId, SpoolError};
use crate::logs::checkpoint::Checkpoints;
use crate::logs::record::{Chunk, LogRecord};
use crate::metrics::export::ExportMetrics;
use crate::metrics::workloads::Workloads;
use crate::window::assemble::Named;
use crate::window::sample::Row;

mod append;
mod losses;
#[cfg(test)]
mod tests;

/// How many items wait for the writer; beyond, rows are counted as `queue_full`.
pub const QUEUE_ITEMS: usize = 128;
/// Rows of one item at most.
pub const ITEM_ROWS: u64 = 1_000;
/// How often spool files and checkpoints are looked after.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// How often a spool file whose batches are all acknowledged is closed, so that a restart repeats little.
const ROTATE: Duration = Duration::from_secs(60);
/// How often what was lost is spooled by itself while the spool takes no rows.
/// Their window: they were lost within about a minute.
const LOSSES: Duration = Duration::from_secs(60);

/// What the driver hands over.
#[derive(Debug)]
pub enum Item {
    /// Rows of one or several signals.
    Rows(Vec<Named>),
    /// Entries of the loss ledger.
    Losses(Vec<v1::LossRow>),
}

/// Where log chunks come from.
pub trait ChunkSource: Send {
    /// The next chunk; `None` when there will be no more. Must be safe to cancel.
    fn next(&mut self) -> impl Future<Output = Option<Chunk>> + Send;
    /// Ends reading; `next` then yields what is left.
    fn stop(&mut self);
    /// Called about once a second: tells what was lost and what does not work.
    fn report(&self, ledger: &Ledger);
}

/// Names the owner of a log line; shared with the driver.
pub type NameOwner = Arc<dyn Fn(&crate::window::sample::Owner) -> Arc<v1::Identity> + Send + Sync>;

/// What the writer works with.
pub struct Writer<S> {
    /// Rows and losses.
    pub items: Receiver<Item>,
    /// Log chunks.
    pub logs: S,
    /// Names of log lines' owners.
    pub name: NameOwner,
    /// Where batches go.
    pub spool: SharedSpool,
    /// Where the logs are read on.
    pub checkpoints: Option<Checkpoints>,
    /// What is lost.
    pub ledger: Ledger,
    /// Counters.
    pub metrics: ExportMetrics,
    /// Log lines per workload.
    pub workloads: Workloads,
    /// Told once the last batch is spooled.
    pub flushed: tokio::sync::watch::Sender<bool>,
    /// Time.
    pub clock: Clock,
}

impl<S> std::fmt::Debug for Writer<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Writer").finish_non_exhaustive()
    }
}

struct Open {
    rows: Batcher,
    logs: Batcher,
    /// A batch of logs for which there was no room: it is tried again, and no more logs are taken until it is in.
    held: Option<Unpacked>,
    has_logs: bool,
    refusals: Repeated,
    housekeeping_at: Duration,
    rotate_at: Duration,
    /// When the losses are spooled by themselves, since rows were refused.
    losses_at: Option<Duration>,
}

impl<S: ChunkSource> Writer<S> {
    /// Runs until the token's phase begins and the queue is closed; then everything that is left is spooled.
    pub async fn run(mut self, token: Token) {
        let mut open = self.open();
        loop {
            let takes_logs = open.has_logs && open.held.is_none() && self.spool.lock().has_room_for_logs();
            let wait = self.wait(&open);
            tokio::select! {
                item = self.items.recv() => match item {
                    Some(item) => self.take(&mut open, item),
                    None => break,
                },
                chunk = self.logs.next(), if takes_logs => match chunk {
                    Some(chunk) => self.take_chunk(&mut open, chunk),
                    None => open.has_logs = false,
                },
                () = tokio::time::sleep(wait) => {}
                () = token.stopped() => break,
            }
            self.flush(&mut open, false).await;
            self.housekeep(&mut open).await;
        }
        self.finish(open).await;
    }

    fn open(&self) -> Open {
        let now = self.clock.monotonic();
        Open {
            rows: Batcher::default(),
            logs: Batcher::default(),
            held: None,
            has_logs: true,
            refusals: Repeated::new(self.clock.clone(), Duration::from_secs(30)),
            housekeeping_at: now + HOUSEKEEPING,
            rotate_at: now + ROTATE,
            losses_at: None,
        }
    }

    /// The intake has stopped: takes what is queued, spools it, and leaves the checkpoints durable.
    async fn finish(mut self, mut open: Open) {
        self.logs.stop();
        self.items.close();
        while let Some(item) = self.items.recv().await {
            self.take(&mut open, item);
            self.flush(&mut open, false).await;
        }
        while open.has_logs && open.held.is_none() && self.spool.lock().has_room_for_logs() {
            match tokio::time::timeout(Duration::from_millis(300), self.logs.next()).await {
                Ok(Some(chunk)) => self.take_chunk(&mut open, chunk),
                Ok(None) | Err(_) => break,
            }
            self.flush(&mut open, false).await;
        }
        self.flush(&mut open, true).await;
        self.book_losses();
        self.write_losses().await;
        self.say_untold();
        self.persist(&open).await;
        self.flushed.send_replace(true);
    }

    /// How long nothing is due.
    fn wait(&self, open: &Open) -> Duration {
        let overdue = self.spool.direct.due_at();
        let due = [open.rows.due_at(), open.logs.due_at(), overdue, Some(open.housekeeping_at)];
        let next = due.into_iter().flatten().min().unwrap_or(open.housekeeping_at);
        next.saturating_sub(self.clock.monotonic()).max(Duration::from_millis(1))
    }

    fn take(&self, open: &mut Open, item: Item) {
        let now = self.clock.monotonic();
        match item {
            Item::Rows(rows) => rows.into_iter().for_each(|row| open.rows.push(row, now)),
            Item::Losses(rows) => open.rows.push_losses(rows, now),
        }
    }

    fn take_chunk(&self, open: &mut Open, chunk: Chunk) {
        let now = self.clock.monotonic();
        let Chunk { records, marks } = chunk;
        let named = |record: LogRecord| Named {
            identity: (self.name)(&record.owner),
            row: Row::Log(Box::new(record.row)),
        };
        let rows: Vec<Named> = records.into_iter().map(named).collect();
        self.workloads.add(&rows, now);
        rows.into_iter().for_each(|row| open.logs.push(row, now));
        open.logs.push_marks(marks, now);
    }

    async fn flush(&self, open: &mut Open, all: bool) {
        let now = self.clock.monotonic();
        let due = if all || open.rows.is_due(now) { open.rows.take() } else { None };
        if let Some(batch) = due {
            match self.spool.direct.offer(batch, now) {
                Ok(()) => self.spool.ready.notify_one(),
                Err(batch) => {
                    self.spool_rows(open, None, *batch, now).await;
                }
            }
        }
        while let Some((ticket, batch)) = self.spool.direct.overdue(now, all) {
            // at the end there is nobody left to deliver it: rather told twice than never
            if let Some(id) = self.spool_rows(open, (!all).then_some(ticket), batch, now).await
                && self.spool.direct.spooled(ticket, id)
            {
                self.spool.lock().acked(id);
            }
        }
        if open.held.is_none() && (all || open.logs.is_due(now)) {
            open.held = open.logs.take();
        }
        if let Some(batch) = open.held.take()
            && let Err((error, batch)) = self.write(batch).await
        {
            if let Some(held_back) = open.refusals.permit() {
                let error = daemon::log::chain(&error);
                tracing::warn!(error, held_back, "logs wait, the spool takes nothing");
            }
            open.held = Some(*batch);
        }
    }

    /// Spools a batch of rows, or books them as lost; what the sender has in hand is not lost yet.
    async fn spool_rows(
        &self,
        open: &mut Open,
        ticket: Option<Ticket>,
        batch: Unpacked,
        now: Duration,
    ) -> Option<BatchId> {
        match self.write(batch).await {
            Ok(id) => {
                open.losses_at = None;
                id
            }
            Err((error, batch)) => {
                let refused = match ticket {
                    Some(ticket) => self.spool.direct.refused(ticket, batch, now),
                    None => Err(batch),
                };
                let batch = match refused {
                    Ok(delivered) => {
                        self.metrics.direct_rows(&delivered.unwrap_or_default());
                        return None;
                    }
                    Err(batch) => batch,
                };
                self.drop_rows(&error, batch.rows(), batch.payload.losses, open);
                open.losses_at.get_or_insert(now);
                None
            }
        }
    }

    /// Packs, appends, syncs, commits; off the runtime, since it compresses and waits for the disk.
    async fn write(&self, mut batch: Unpacked) -> Result<Option<BatchId>, (SpoolError, Box<Unpacked>)> {
        let spool = self.spool.clone();
        let checkpoints = self.checkpoints.clone();
        let metrics = self.metrics.clone();
        let clock = self.clock.clone();
        let work = tokio::task::spawn_blocking(move || {
            let started = clock.monotonic();
            let written = append::append(&spool, checkpoints.as_ref(), &mut batch, &metrics);
            metrics.spool_seconds.observe((clock.monotonic() - started).as_secs_f64());
            written.map(Some).map_err(|error| (error, Box::new(batch)))
        });
        match work.await {
            Ok(written) => written,
            Err(error) => {
                tracing::error!(%error, "spool writer ended badly; one batch is lost");
                Ok(None)
            }
        }
    }

    async fn housekeep(&self, open: &mut Open) {
        let now = self.clock.monotonic();
        if now < open.housekeeping_at {
            return;
        }
        open.housekeeping_at = now + HOUSEKEEPING;
        self.book_losses();
        if open.losses_at.is_some_and(|at| now >= at) {
            self.write_losses().await;
            open.losses_at = Some(now + LOSSES);
        }
        {
            let mut spool = self.spool.lock();
            if now >= open.rotate_at {
                open.rotate_at = now + ROTATE;
                if let Err(error) = spool.rotate_if_settled() {
                    tracing::warn!(%error, "spool file not closed");
                }
            }
            self.metrics.spool_bytes.set(i64::try_from(spool.bytes()).unwrap_or(i64::MAX));
            self.metrics.spool_batches.set(i64::try_from(spool.batches()).unwrap_or(i64::MAX));
        }
        // the number is taken before the checkpoints are made durable: what is settled later waits for the next round
        let removable = self.spool.lock().removable();
        if self.persist(open).await
            && removable > 0
            && let Err(error) = self.spool.lock().remove(removable)
        {
            tracing::warn!(%error, "spool file not removed");
        }
    }

    async fn persist(&self, open: &Open) -> bool {
        let Some(checkpoints) = self.checkpoints.clone() else { return true };
        let now_ns = self.clock.now_unix_ns();
        match tokio::task::spawn_blocking(move || checkpoints.persist(now_ns)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                if let Some(held_back) = open.refusals.permit() {
                    tracing::warn!(error = daemon::log::chain(&error), held_back, "checkpoints not written");
                }
                false
            }
            Err(_) => false,
        }
    }
}
