//! The store from its opening to its close.

use std::sync::Arc;

use anyhow::Context as _;
use daemon::admin::Health;
use daemon::clock::Clock;
use daemon::shutdown::Token;
use store::{Recovered, Store};

use crate::config::Config;

/// Opens the store and tells how long that took.
pub(crate) async fn open(config: &Config, clock: &Clock) -> anyhow::Result<(Arc<Store>, Recovered)> {
    let dir = config.data_dir.clone();
    let limits = config.limits();
    let now_ns = i64::try_from(clock.now_unix_ns()).unwrap_or(i64::MAX);
    let started = clock.monotonic();
    // It reads the write-ahead log, which may take seconds.
    let opened = tokio::task::spawn_blocking(move || Store::open(&dir, limits, now_ns)).await;
    let (store, recovered) =
        opened?.with_context(|| format!("open the store in {}", config.data_dir.display()))?;
    let seconds = clock.monotonic().saturating_sub(started).as_secs_f64();
    let Recovered { batches, rows, torn_bytes, .. } = &recovered;
    tracing::info!(dir = %config.data_dir.display(), batches, rows, torn_bytes, seconds, "store opened");
    let stopwatch = clock.clone();
    store.measure_with(move || stopwatch.monotonic());
    Ok((store, recovered))
}

/// Tells what was lost or put right.
pub(crate) fn report(recovered: &Recovered, health: &Health) {
    for detail in &recovered.rebuilt {
        tracing::warn!(%detail, "the store's catalog was put right");
    }
    for table in &recovered.unknown_tables {
        tracing::warn!(%table, "a newer release wrote a table that this one does not know");
    }
    if !recovered.unknown_tables.is_empty() {
        let told = format!("written by a newer release: {}", recovered.unknown_tables.join("; "));
        health.note("tables", told);
    }
    for damage in &recovered.damaged {
        tracing::error!(%damage, "acknowledged data is lost");
    }
    if !recovered.damaged.is_empty() {
        health.note("store", format!("acknowledged data is lost: {}", recovered.damaged.join("; ")));
    }
}

/// Closes, with what is not sealed in the write-ahead log, when its turn in the shutdown comes.
pub(crate) async fn close(store: Arc<Store>, token: Token) {
    token.stopped().await;
    store.close().await;
    drop(token);
}
