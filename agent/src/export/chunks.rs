//! The log reader as the writer sees it: chunks, and once a second what it lost and what does not work.

use std::sync::Arc;
use std::time::Duration;

use crate::driver::states::States;
use crate::export::joined::LogJoin;
use crate::export::ledger::Ledger;
use crate::export::writer::ChunkSource;
use crate::logs::reader::LogReader;
use crate::logs::record::Chunk;
use crate::logs::status::LogStatus;
use crate::metrics::logs::LogMetrics;

/// The reader, or nothing where logs are switched off.
#[derive(Debug)]
pub struct Chunks {
    reader: Option<LogReader>,
    join: LogJoin,
    /// Waits to be joined, since when.
    held: Option<(Chunk, Duration)>,
    states: States,
    metrics: LogMetrics,
}

impl Chunks {
    /// Nothing is read so far.
    pub fn new(join: LogJoin, states: States, metrics: LogMetrics) -> Self {
        Self { reader: None, join, held: None, states, metrics }
    }

    /// What is read from now on.
    pub fn read(&mut self, reader: LogReader) {
        self.reader = Some(reader);
    }

    fn measure(&self, status: &Arc<LogStatus>) {
        let LogMetrics {
            lines,
            body_bytes,
            truncated,
            malformed,
            replaced,
            rotated,
            open_files,
            unfollowed_files,
            lag_bytes,
            passed_over,
            left_out_logs,
            waiting_logs,
        } = &self.metrics;
        for (counter, now) in [
            (lines, &status.lines),
            (body_bytes, &status.body_bytes),
            (truncated, &status.truncated),
            (malformed, &status.malformed),
            (replaced, &status.replaced),
            (rotated, &status.rotated),
            (passed_over, &status.passed_over),
        ] {
            counter.inc_by(now.get().saturating_sub(counter.get()));
        }
        for (gauge, now) in [
            (open_files, &status.open_files),
            (unfollowed_files, &status.unfollowed_files),
            (lag_bytes, &status.lag_bytes),
            (left_out_logs, &status.left_out_logs),
            (waiting_logs, &status.waiting_logs),
        ] {
            gauge.set(i64::try_from(now.get()).unwrap_or(i64::MAX));
        }
    }
}

impl ChunkSource for Chunks {
    async fn next(&mut self) -> Option<Chunk> {
        if self.held.is_none() {
            self.held = self.reader.as_mut()?.next().await.map(|chunk| (chunk, self.join.now()));
        }
        let (chunk, since) = self.held.as_ref()?;
        self.join.ready(chunk, *since).await;
        let (mut chunk, _) = self.held.take()?;
        self.join.join(&mut chunk);
        Some(chunk)
    }

    fn stop(&mut self) {
        self.join.stop();
        if let Some(reader) = &mut self.reader {
            reader.stop();
        }
    }

    fn report(&self, ledger: &Ledger) {
        let Some(reader) = &self.reader else { return };
        for loss in reader.take_losses() {
            ledger.add(&loss);
        }
        self.states.running("logs", reader.status().missing());
        self.measure(reader.status());
    }
}
