//! Export: rows become batches, batches are spooled, spooled batches are sent until they are acknowledged.
//!
//! Flow: `Item` → `batch` (one for logs, one for everything else) → `spool` (on disk, synced) → `client` (gRPC to an
//! aggregator) or `otlp` (HTTP to any OTLP endpoint) → ack → removed. `writer` moves them; `ledger` books what is lost on the way.
//! What goes to an OTLP endpoint at once (`direct`) is not spooled.
//! Invariants: nothing is sent to an aggregator before it is on disk; log checkpoints are committed only then, so that a kill at any
//! point neither loses nor doubles a line; memory holds two open batches and a bounded queue, never a backlog.

mod backoff;
pub mod batch;
pub mod chunks;
pub mod client;
pub mod credentials;
pub mod direct;
pub mod joined;
pub mod ledger;
pub mod names;
pub mod otlp;
pub mod spool;
pub mod writer;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use daemon::shutdown::Token;
use tokio::sync::Notify;

use crate::export::direct::Direct;
use crate::export::spool::Spool;

/// The spool as the writer and the client share it.
#[derive(Clone, Debug)]
pub struct SharedSpool {
    spool: Arc<Mutex<Spool>>,
    /// What need not be on disk so far.
    pub direct: Direct,
    /// Something may be sent.
    pub ready: Arc<Notify>,
    /// Something was acknowledged.
    pub acked: Arc<Notify>,
}

impl SharedSpool {
    /// Shares it, as the only way out.
    pub fn new(spool: Spool) -> Self {
        Self::beside(spool, Direct::default())
    }

    /// Shares it, for what does not go out directly.
    pub fn beside(spool: Spool, direct: Direct) -> Self {
        Self { spool: Arc::new(Mutex::new(spool)), direct, ready: Arc::default(), acked: Arc::default() }
    }

    /// Exclusive access; never held over an await, nor while syncing.
    pub fn lock(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who sends what is spooled.
#[derive(Debug)]
pub enum Outlet {
    /// To a wake-aggregator.
    Wake(Box<client::Client>),
    /// To an OTLP endpoint.
    Otlp(Box<otlp::Sender>),
}

impl Outlet {
    /// Runs until the token's phase begins and what is spooled was delivered, or a moment has passed.
    pub async fn run(self, token: Token) {
        match self {
            Self::Wake(client) => client.run(token).await,
            Self::Otlp(sender) => sender.run(token).await,
        }
    }
}
