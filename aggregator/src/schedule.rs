//! The store's housekeeping: seals by size and age, compaction, retention and disk limits, as often as needed.
//!
//! Runs when the store says that a table is large enough, and once a second. An error is logged and tried again.

use std::sync::Arc;
use std::time::Duration;

use daemon::clock::Clock;
use daemon::shutdown::{Shutdown, Token};
use store::{Compacted, Store};

use crate::metrics::ScheduleMetrics;

/// Between rounds that nothing asked for.
const INTERVAL: Duration = Duration::from_secs(1);
/// After an error, so that a full disk is not asked again at once.
const AFTER_ERROR: Duration = Duration::from_secs(5);

/// When there was nothing to merge.
const BETWEEN_MERGES: Duration = Duration::from_secs(5);
const AFTER_FAILED_MERGE: Duration = Duration::from_secs(60);

/// Runs until the token's phase begins.
pub(crate) async fn run(
    store: Arc<Store>,
    clock: Clock,
    metrics: ScheduleMetrics,
    shutdown: Shutdown,
    token: Token,
) {
    loop {
        let wait = round(&store, &clock, &metrics).await;
        if let Some(why) = store.stats().stopped {
            tracing::error!(%why, "the store has stopped; the process ends, so that it starts from what is on disk");
            shutdown.request();
            return;
        }
        tokio::select! {
            () = token.stopped() => return,
            () = pause(&store, wait) => {}
        }
    }
}

async fn round(store: &Arc<Store>, clock: &Clock, metrics: &ScheduleMetrics) -> Duration {
    let started = clock.monotonic();
    let now_ns = i64::try_from(clock.now_unix_ns()).unwrap_or(i64::MAX);
    let result = store.maintain(now_ns).await;
    let took = clock.monotonic().saturating_sub(started);
    metrics.round(took, result.is_ok().then(|| clock.now_unix_ns()));
    match result {
        Ok(_) => INTERVAL,
        Err(error) => {
            tracing::warn!(error = %crate::chain(&error), "housekeeping of the store did not end");
            AFTER_ERROR
        }
    }
}

/// Merges small segments beside the rounds, one group after the other.
pub(crate) async fn compact(store: Arc<Store>, clock: Clock, token: Token) {
    loop {
        let now_ns = i64::try_from(clock.now_unix_ns()).unwrap_or(i64::MAX);
        let wait = match store.compact(now_ns).await {
            Ok(Some(merged)) => {
                let Compacted { table, level, segments, rows, bytes_before, bytes } = merged;
                let table = table.name();
                tracing::debug!(table, level, segments, rows, bytes_before, bytes, "segments merged");
                Duration::ZERO
            }
            Ok(None) => BETWEEN_MERGES,
            Err(error) => {
                tracing::warn!(error = %crate::chain(&error), "segments were not merged");
                AFTER_FAILED_MERGE
            }
        };
        tokio::select! {
            () = token.stopped() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// After an error only time helps; else a table that grew large ends the wait.
async fn pause(store: &Store, wait: Duration) {
    if wait == AFTER_ERROR {
        tokio::time::sleep(wait).await;
        return;
    }
    tokio::select! {
        () = tokio::time::sleep(wait) => {}
        () = store.due() => {}
    }
}
