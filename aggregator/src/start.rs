//! What starting needs once: addresses, callers, the store, the cluster around.

use std::error::Error;

use daemon::shutdown::Shutdown;

pub(crate) mod callers;
pub(crate) mod listeners;
pub(crate) mod opened;
pub(crate) mod receivers;
pub(crate) mod watched;

/// A server that fails ends the process in order.
pub(crate) async fn or_stop<E: Error>(
    part: &'static str,
    served: impl Future<Output = Result<(), E>>,
    shutdown: Shutdown,
) {
    if let Err(error) = served.await {
        tracing::error!(part, error = %crate::chain(&error), "server failed");
        shutdown.request();
    }
}
