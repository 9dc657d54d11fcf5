//! Names of this node's pods, from the aggregator, over the connection that the batches go over.
//!
//! In: `Nodes.Watch`. Out: `Identities::told`, and the last snapshot on disk. While the aggregator is away what was told
//! holds; an aggregator that watches no Kubernetes is asked again now and then.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daemon::clock::Clock;
use proto::v1::nodes_client::NodesClient;
use proto::v1::{Hello, NodeUpdate, WatchRequest};
use tonic::transport::Channel;

use crate::identity::{Identities, saved};

/// The snapshot on disk is at most this much older than what is known.
const SAVE_AFTER: Duration = Duration::from_secs(5);
/// Pauses after a stream that ended.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// Pause after an aggregator said that it knows no Kubernetes.
const NOT_HERE: Duration = Duration::from_secs(30);
/// The largest update: as many pods as one may hold, each as large as a pod may be.
const MAX_UPDATE_BYTES: usize = 16 << 20;

/// Where names go.
#[derive(Clone, Debug)]
pub struct Names {
    /// The table.
    pub identities: Arc<Mutex<Identities>>,
    /// The snapshot's file.
    pub path: PathBuf,
    /// Time.
    pub clock: Clock,
}

impl Names {
    /// Takes in the snapshot that an earlier process left.
    pub fn load(&self) {
        let node = self.lock().node().clone();
        match saved::read(&self.path, &node) {
            Ok(Some(update)) => {
                let pods = update.pods.len();
                self.lock().told(update, self.clock.monotonic());
                tracing::info!(pods, "names of pods read from disk");
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(error = daemon::log::chain(&error), "names of pods on disk not used");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Identities> {
        self.identities.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows the aggregator for as long as the connection lasts; to be dropped with it.
    pub(super) async fn follow(self, channel: Channel, hello: Hello) {
        let mut pause = PAUSES.0;
        loop {
            let status = match self.watch(channel.clone(), &hello, &mut pause).await {
                Ok(()) => tonic::Status::unavailable("the stream ended"),
                Err(status) => status,
            };
            let is_not_here = matches!(status.code(), tonic::Code::NotFound | tonic::Code::Unimplemented);
            if is_not_here {
                self.lock().nobody_tells();
            }
            let wait = if is_not_here { NOT_HERE } else { pause };
            tracing::debug!(code = ?status.code(), message = status.message(), "no names of pods for now");
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn watch(
        &self,
        channel: Channel,
        hello: &Hello,
        pause: &mut Duration,
    ) -> Result<(), tonic::Status> {
        let known = {
            let mut identities = self.lock();
            identities.listen();
            identities.kube_version().to_owned()
        };
        let request = WatchRequest {
            node: hello.node.clone(),
            cluster: hello.cluster.clone(),
            boot_id: hello.boot_id.clone(),
            wire_version: proto::WIRE_VERSION,
            known,
        };
        let mut client = NodesClient::new(channel).max_decoding_message_size(MAX_UPDATE_BYTES);
        let mut updates = client.watch(request).await?.into_inner();
        let mut save_at: Option<Duration> = None;
        loop {
            let now = self.clock.monotonic();
            let until = save_at.map_or(Duration::from_secs(3_600), |at| at.saturating_sub(now));
            tokio::select! {
                update = updates.message() => {
                    let Some(update) = update? else {
                        self.save().await;
                        return Ok(());
                    };
                    *pause = PAUSES.0;
                    if self.take(update) {
                        save_at.get_or_insert(self.clock.monotonic() + SAVE_AFTER);
                    }
                }
                () = tokio::time::sleep(until) => {
                    save_at = None;
                    self.save().await;
                }
            }
        }
    }

    /// Whether there is something new to be saved.
    fn take(&self, update: NodeUpdate) -> bool {
        let (snapshot, complete, pods) = (update.snapshot, update.complete, update.pods.len());
        let mut identities = self.lock();
        let before = identities.kube_version().to_owned();
        identities.told(update, self.clock.monotonic());
        let is_new = identities.kube_version() != before;
        let known = identities.kube_node().known;
        drop(identities);
        if snapshot {
            tracing::info!(pods, complete, known, "names of this node's pods received");
        }
        is_new
    }

    async fn save(&self) {
        let (node, update) = {
            let identities = self.lock();
            (identities.node().clone(), identities.kube_snapshot())
        };
        let Some(update) = update else { return };
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || saved::write(&path, &node, &update)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, path = %self.path.display(), "names of pods not written to disk");
        }
    }
}
