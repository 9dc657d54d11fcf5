//! OpenTelemetry in: logs and traces of instrumented applications, over OTLP/gRPC and OTLP/HTTP, into the same store.
//!
//! ```text
//! http ─ protobuf, JSON, gzip, zstd ─┐
//! grpc ─ gzip ───────────────────────┴▶ receive ─▶ convert (walk, no tree) ─▶ store.append_payload ─▶ answer
//! ```
//! An answer of success comes after the rows are on disk and searchable. OTLP has no sequence numbers: a request whose
//! answer is lost is sent again and stored twice (at least once). Records that cannot be taken are counted, and named in
//! the answer's partial success; what the store has no room for is refused with a time to wait.
//!
//! Does not: keep metrics (they are refused by a partial success).

mod answer;
mod arrive;
mod convert;
mod fuzz;
mod grpc;
mod http;
mod json;
mod logs;
mod receive;
mod resource;
mod rows;
mod scope;
pub(crate) mod senders;
mod spans;
mod value;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use daemon::clock::Clock;
use store::Store;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::senders::Senders;
use crate::metrics::OtlpMetrics;

pub(crate) use fuzz::{json as fuzz_json, protobuf as fuzz_protobuf};
pub(crate) use grpc::serve as serve_grpc;
pub(crate) use http::router;

/// How long a request waits for room before it is refused.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Signal {
    Logs,
    Traces,
    Metrics,
}

impl Signal {
    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }
}

/// What every request needs; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    pub(crate) metrics: OtlpMetrics,
    /// The largest request, unpacked, bytes.
    pub(crate) max_request_bytes: usize,
    /// KiB of requests that may be in memory.
    pub(crate) room: Arc<Semaphore>,
    /// Who may send.
    pub(crate) senders: Senders,
}

impl Context {
    /// Waits a little for so much room.
    async fn room_for(&self, kib: u32) -> Option<OwnedSemaphorePermit> {
        let room = Arc::clone(&self.room).acquire_many_owned(kib);
        tokio::time::timeout(PATIENCE, room).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests;
