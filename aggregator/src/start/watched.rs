//! The cluster around, where there is one.

use std::sync::Arc;
use std::time::Duration;

use daemon::clock::Clock;
use daemon::metrics::Registry;
use daemon::shutdown::{Phase, Shutdown};
use store::Store;

use crate::config::Config;
use crate::kube::{self, Kube};
use crate::metrics::KubeMetrics;

/// How long the start waits for the API server's first lists.
const FIRST_LISTS: Duration = Duration::from_secs(10);

/// Watches the cluster, if it is to be watched; then every batch that comes in gets the names that are known.
pub(crate) async fn kubernetes(
    config: &Config,
    store: &Arc<Store>,
    root: &Registry,
    clock: &Clock,
    shutdown: &Shutdown,
) -> anyhow::Result<Option<Arc<Kube>>> {
    let Some(client) = kube::connect(&config.kubernetes).await? else { return Ok(None) };
    let kube = Kube::new(config.kubernetes.clone(), client, KubeMetrics::register(root), clock.clone());
    let known = Arc::clone(&kube);
    store.resolve_with(move |payload| known.resolve(payload));
    // before the watch, which tells it
    kube::record(&kube, Arc::clone(store), shutdown.register(Phase::Intake, "kube record")).await;
    let token = shutdown.register(Phase::Buffers, "kube");
    tokio::spawn(kube::watch(Arc::clone(&kube), token));
    // what comes in before is named as far as is known, and never again
    kube.first_lists(FIRST_LISTS).await;
    Ok(Some(kube))
}
