//! The addresses that are bound before anything starts.

use anyhow::Context as _;
use daemon::admin::Health;
use tokio::net::TcpListener;

use crate::config::Otlp;

/// The address that `key` of the config names.
pub(crate) async fn bind(key: &str, address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listen on {address} ({key})"))
}

/// Binds an address of OTLP. That of everybody's default is done without if somebody has it, such as a collector.
pub(crate) async fn otlp(
    key: &'static str,
    address: &str,
    usual: &str,
    health: &Health,
) -> anyhow::Result<Option<TcpListener>> {
    if address == Otlp::OFF {
        return Ok(None);
    }
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if address == usual && error.kind() == std::io::ErrorKind::AddrInUse => {
            tracing::warn!(
                address,
                key,
                "another program listens there: OTLP is not received at this address"
            );
            health.note(key, format!("another program listens on {address}; OTLP is not received there"));
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("listen on {address} ({key})")),
    }
}
