//! Kubernetes: what the API server says of the cluster, kept trimmed, for names of pods, peers and changes.
//!
//! ```text
//! API server ─watch─▶ wire ─▶ trim ─▶ cache ─▶ resolve ─▶ store (names are written down with each batch)
//!                                       ├────▶ nodes ─gRPC─▶ agents (their own node's pods, the service ranges)
//!                                       └────▶ changes ─▶ whoever subscribes
//! ```
//! Invariants: nothing but names, addresses, allow-listed labels and our own annotations is kept; every map is bounded;
//! while the API server is away the last state holds. Without Kubernetes none of this exists.

mod cache;
mod changes;
mod events;
mod leases;
mod nodes;
mod object;
mod record;
mod resolve;
#[doc(hidden)]
pub mod simulate;
mod trim;
mod watching;
mod wire;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use daemon::clock::Clock;
use proto::v1;
use tokio::sync::{broadcast, watch as signal};

use crate::config::{Enabled, Kubernetes};
use crate::metrics::KubeMetrics;
use cache::{Applied, Cache};
pub(crate) use nodes::Service as NodesService;
pub(crate) use object::Kind;
use object::{Object, Pairs};
pub(crate) use record::spawn as record;
pub(crate) use watching::run as watch;

#[cfg(test)]
mod tests;

/// Changes that a slow subscriber may be behind; past it, it is told how many it missed.
const CHANGES: usize = 4_096;

/// An object before and after.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// `None`: it is new.
    pub(crate) old: Option<Arc<Object>>,
    /// `None`: it has gone.
    pub(crate) new: Option<Arc<Object>>,
    /// When it was heard, ns.
    pub(crate) at_ns: u64,
    /// It was there before the watch began, or it changed while the API server was away.
    pub(crate) is_listed: bool,
}

/// How the watch of one kind stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct WatchState {
    /// The first list is complete.
    pub(crate) is_synced: bool,
    /// The last error; `''` while all is well.
    pub(crate) error: String,
    /// When something was heard last, ns.
    pub(crate) heard_ns: u64,
}

/// The watched cluster.
pub(crate) struct Kube {
    config: Kubernetes,
    client: kube::Client,
    cache: RwLock<Cache>,
    changes: broadcast::Sender<Change>,
    /// What was recorded before this process began; unset where nothing is recorded.
    known: OnceLock<Arc<record::Known>>,
    /// Agents that wait for changes of their node.
    waiting: Mutex<HashMap<Box<str>, signal::Sender<u64>>>,
    states: Mutex<[WatchState; Kind::ALL.len()]>,
    synced: signal::Sender<bool>,
    /// What the cluster is called.
    cluster: signal::Sender<String>,
    metrics: KubeMetrics,
    clock: Clock,
}

impl std::fmt::Debug for Kube {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Kube").finish_non_exhaustive()
    }
}

/// The client cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("read the kubeconfig {path}")]
    Kubeconfig { path: String, source: kube::config::KubeconfigError },
    #[error("use the service account of this pod (kubernetes.enabled is on, kubernetes.kubeconfig is empty)")]
    InCluster(#[source] kube::config::InClusterError),
    #[error("set up the Kubernetes client")]
    Client(#[source] kube::Error),
}

/// A client for the API server, if Kubernetes is to be watched.
///
/// # Errors
/// When it is to be and cannot.
pub(crate) async fn connect(config: &Kubernetes) -> Result<Option<kube::Client>, ConnectError> {
    let is_in_cluster = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let is_wanted = match config.enabled {
        Enabled::Off => false,
        Enabled::On => true,
        Enabled::Auto => is_in_cluster || !config.kubeconfig.as_os_str().is_empty(),
    };
    if !is_wanted {
        return Ok(None);
    }
    // both sides of a process use one provider; a second installation is refused and changes nothing
    drop(rustls::crypto::ring::default_provider().install_default());
    let client_config = if config.kubeconfig.as_os_str().is_empty() {
        kube::Config::incluster().map_err(ConnectError::InCluster)?
    } else {
        let path = config.kubeconfig.display().to_string();
        let failed = |source| ConnectError::Kubeconfig { path: path.clone(), source };
        let file = kube::config::Kubeconfig::read_from(&config.kubeconfig).map_err(failed)?;
        let options = kube::config::KubeConfigOptions::default();
        kube::Config::from_custom_kubeconfig(file, &options).await.map_err(failed)?
    };
    kube::Client::try_from(client_config).map(Some).map_err(ConnectError::Client)
}

impl Kube {
    /// Nothing is watched before `spawn`.
    pub(crate) fn new(
        config: Kubernetes,
        client: kube::Client,
        metrics: KubeMetrics,
        clock: Clock,
    ) -> Arc<Self> {
        let cluster = config.cluster.clone();
        Arc::new(Self {
            config,
            client,
            cache: RwLock::default(),
            changes: broadcast::Sender::new(CHANGES),
            known: OnceLock::new(),
            waiting: Mutex::default(),
            states: Mutex::default(),
            synced: signal::Sender::new(false),
            cluster: signal::Sender::new(cluster),
            metrics,
            clock,
        })
    }

    /// Returns when every first list is complete, or after this time.
    pub(crate) async fn first_lists(&self, most: std::time::Duration) {
        let mut synced = self.synced.subscribe();
        let complete = tokio::time::timeout(most, synced.wait_for(|synced| *synced)).await;
        if complete.is_err() {
            tracing::warn!(
                ?most,
                "the API server has not told everything yet, rows are named as far as is known"
            );
        }
    }

    /// Every change from now on that may be news.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// The client, for what is not watched here.
    pub(crate) fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// What the cluster is called: by the config, else the uid of its namespace kube-system; `''` before it is known.
    pub(crate) fn cluster(&self) -> String {
        self.cluster.borrow().clone()
    }

    /// Names for a batch.
    pub(crate) fn resolve(&self, payload: &v1::Payload) -> Option<v1::Resolved> {
        let started = self.clock.monotonic();
        let is_synced = *self.synced.borrow();
        let resolved = resolve::resolve(&self.read(), &self.cluster(), is_synced, payload);
        self.metrics.resolved(&resolved, payload.flows.len(), self.clock.monotonic().saturating_sub(started));
        Some(resolved)
    }

    /// How each watch stands, and how many objects it keeps.
    pub(crate) fn states(&self) -> Vec<(Kind, WatchState, usize)> {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let cache = self.read();
        Kind::ALL.into_iter().zip(states).map(|(kind, state)| (kind, state, cache.count(kind))).collect()
    }

    /// Pods that have gone and are still known.
    pub(crate) fn ended(&self) -> usize {
        self.read().ended()
    }

    fn read(&self) -> RwLockReadGuard<'_, Cache> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Box<str>, signal::Sender<u64>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ns(&self) -> u64 {
        self.clock.now_unix_ns()
    }

    /// An object came or changed.
    fn apply(&self, object: Object, is_listed: bool) {
        let (kind, now_ns) = (object.kind, self.now_ns());
        if kind == Kind::Namespace && &*object.name == "kube-system" && self.cluster.borrow().is_empty() {
            self.cluster.send_replace(object.uid.to_string());
            self.tell_all();
        }
        let applied = self.cache.write().unwrap_or_else(PoisonError::into_inner).apply(object, now_ns);
        match applied {
            Ok(applied) => self.tell(applied, now_ns, is_listed),
            Err(cache::Full) => self.metrics.refused(kind, "limit"),
        }
    }

    /// An object has gone.
    fn remove(&self, kind: Kind, uid: &str, is_listed: bool) {
        let now_ns = self.now_ns();
        let removed = self.cache.write().unwrap_or_else(PoisonError::into_inner).remove(kind, uid, now_ns);
        if let Some(applied) = removed {
            self.tell(applied, now_ns, is_listed);
        }
    }

    fn tell(&self, applied: Applied, at_ns: u64, is_listed: bool) {
        let Applied { old, new, nodes, is_for_all } = applied;
        let change = Change { old, new, at_ns, is_listed };
        if self.known.get().is_some_and(|known| changes::may_be_news(&change, known)) {
            // nobody may be listening any more
            drop(self.changes.send(change));
        }
        if is_for_all {
            self.tell_all();
            return;
        }
        let waiting = self.waiting();
        for node in nodes {
            if let Some(agent) = waiting.get(&node) {
                agent.send_modify(|version| *version += 1);
            }
        }
    }

    fn tell_all(&self) {
        self.waiting().values().for_each(|agent| agent.send_modify(|version| *version += 1));
    }
}
