//! Who is at the other end of an agent's connection: an agent can only speak for the node in its certificate.
//!
//! In plain text, which the config allows on loopback only, nobody is asked.

use std::sync::Arc;
use std::time::Duration;

use daemon::clock::Clock;
use daemon::tls::accept::{Connection, Peer};
use daemon::tls::certificate::Described;
use proto::error::ErrorCode;
use tonic::transport::server::Connected;
use tonic::{Extensions, Status};

use crate::ingest::status;
use crate::tls::unix_s;

/// A connection, as tonic serves it.
pub(crate) struct Incoming(pub(crate) Connection);

/// What tonic keeps of a connection beside each of its requests.
#[derive(Clone, Debug)]
pub(crate) struct PeerInfo(Arc<Peer>);

impl Connected for Incoming {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        PeerInfo(Arc::clone(self.0.peer()))
    }
}

#[cfg(test)]
impl PeerInfo {
    /// Of a connection in plain text.
    pub(crate) fn plain() -> Self {
        Self(Arc::new(Peer { address: None, is_tls: false, certificate: None }))
    }
}

/// Why a peer may not speak for a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stranger {
    #[error("the connection has no certificate; an agent must enrol, or be given one")]
    NoCertificate,
    #[error("the certificate of {0} names no node: it needs one URI name spiffe://wake/node/NODE")]
    NoNode(String),
    #[error("the certificate is of node {certificate:?}, and speaks for {claimed:?}")]
    OtherNode { certificate: String, claimed: String },
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
}

impl Stranger {
    /// The word in metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::NoNode(_) => "no_node",
            Self::OtherNode { .. } => "other_node",
            Self::Unreadable(_) => "unreadable",
        }
    }

    pub(crate) fn status(&self) -> Status {
        let code = match self {
            Self::NoCertificate | Self::Unreadable(_) => ErrorCode::Unauthenticated,
            Self::NoNode(_) | Self::OtherNode { .. } => ErrorCode::Forbidden,
        };
        status(code, self.to_string())
    }
}

/// The peer of a request.
pub(crate) fn of(extensions: &Extensions) -> Option<Arc<Peer>> {
    extensions.get::<PeerInfo>().map(|info| Arc::clone(&info.0))
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certified {
    /// The one node that its holder may speak for.
    pub(crate) node: String,
    /// Until when, Unix seconds.
    pub(crate) until_s: i64,
}

/// Who the peer is, before it has said anything; `None` in plain text, where nobody is asked.
///
/// # Errors
/// Why it is nobody.
pub(crate) fn certified(peer: Option<&Peer>) -> Result<Option<Certified>, Stranger> {
    let Some(peer) = peer else { return Err(Stranger::NoCertificate) };
    if !peer.is_tls {
        return Ok(None);
    }
    let certificate = peer.certificate.as_ref().ok_or(Stranger::NoCertificate)?;
    let described = Described::of(certificate).map_err(|error| Stranger::Unreadable(crate::chain(&error)))?;
    let Described { node, subject, not_after_s, .. } = described;
    let node = node.ok_or(Stranger::NoNode(subject))?;
    Ok(Some(Certified { node, until_s: not_after_s }))
}

/// Whether who is certified may speak for this node, and until when (Unix seconds; `None`: for ever).
///
/// # Errors
/// Why not.
pub(crate) fn check(certified: Option<&Certified>, node: &str) -> Result<Option<i64>, Stranger> {
    match certified {
        None => Ok(None),
        Some(certified) if certified.node == node => Ok(Some(certified.until_s)),
        Some(Certified { node: certified, .. }) => {
            Err(Stranger::OtherNode { certificate: certified.clone(), claimed: node.to_owned() })
        }
    }
}

/// Returns when a certificate has expired; never without one.
pub(crate) async fn expired(clock: &Clock, until_s: Option<i64>) {
    let Some(until_s) = until_s else { return std::future::pending().await };
    loop {
        let left_s = until_s.saturating_sub(unix_s(clock));
        let Ok(left_s @ 1..) = u64::try_from(left_s) else { return };
        // in pieces, since the machine's clock may be set
        tokio::time::sleep(Duration::from_secs(left_s.min(60))).await;
    }
}

/// Bytes in and out are the connection's own.
mod io {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::Incoming;

    impl AsyncRead for Incoming {
        fn poll_read(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.get_mut().0).poll_read(context, buffer)
        }
    }

    impl AsyncWrite for Incoming {
        fn poll_write(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.get_mut().0).poll_write(context, bytes)
        }

        fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.get_mut().0).poll_flush(context)
        }

        fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.get_mut().0).poll_shutdown(context)
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &[io::IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.get_mut().0).poll_write_vectored(context, bytes)
        }

        fn is_write_vectored(&self) -> bool {
            self.0.is_write_vectored()
        }
    }
}
