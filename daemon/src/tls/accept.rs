//! From a listener to finished connections: a bounded number, each with its handshake done, none waiting for another's.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use rustls::CertificateError;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::places::{NoPlace, Place, Places};
use super::server::ServerTls;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Before the listener is asked again after it failed, as it does without file descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// Finished connections that wait to be taken.
const QUEUE: usize = 16;

/// Told of each handshake that failed: why, in a word of a closed set, and in words.
pub type OnFailure = Arc<dyn Fn(&'static str, &str) + Send + Sync>;

/// Every word that a failure may have.
pub const FAILURES: [&str; 8] = [
    "expired",
    "not_valid_yet",
    "unknown_issuer",
    "bad_certificate",
    "refused_by_peer",
    "protocol",
    "connection",
    "timeout",
];

/// Who is at the other end.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Their address.
    pub address: Option<SocketAddr>,
    /// Whether the connection is encrypted.
    pub is_tls: bool,
    /// Their certificate, which comes from the CA; without one they are nobody yet.
    pub certificate: Option<CertificateDer<'static>>,
}

/// A connection and its place among those that may be.
#[derive(Debug)]
pub struct Connection {
    io: Io,
    peer: Arc<Peer>,
    _place: Place,
}

#[derive(Debug)]
enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// Who is at the other end.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }
}

/// How many connections may be open at a time.
#[derive(Clone, Debug)]
pub struct Room {
    /// So many.
    pub most: usize,
    /// So many of one address beyond loopback.
    pub each: usize,
    /// What becomes of the next one.
    pub when_full: WhenFull,
}

/// What becomes of a connection beyond those that may be.
#[derive(Clone, Debug)]
pub enum WhenFull {
    /// It waits in the kernel's queue until another one ends; one too many of its address is closed.
    Wait {
        /// Where it is counted if it is one too many of its address.
        crowded: Counter,
    },
    /// It is closed at once and counted; without TLS it is told why.
    Refuse {
        /// What it hears.
        say: &'static [u8],
        /// Where it is counted.
        refused: Counter,
        /// Where it is counted if it is one too many of its address.
        crowded: Counter,
    },
}

/// Accepts for as long as what comes is taken, handshakes included.
pub fn accept(
    listener: TcpListener,
    tls: Option<ServerTls>,
    room: Room,
    on_failure: OnFailure,
) -> mpsc::Receiver<Connection> {
    let (finished, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(run(listener, tls, room, on_failure, finished));
    receiver
}

async fn run(
    listener: TcpListener,
    tls: Option<ServerTls>,
    room: Room,
    on_failure: OnFailure,
    finished: mpsc::Sender<Connection>,
) {
    let Room { most, each, when_full } = room;
    let when_full = match when_full {
        // plain words are no answer to a handshake
        WhenFull::Refuse { refused, crowded, .. } if tls.is_some() => {
            WhenFull::Refuse { say: b"", refused, crowded }
        }
        other => other,
    };
    let places = Places::new(most, each);
    loop {
        let accepted = tokio::select! {
            accepted = next(&listener, &places, &when_full) => accepted,
            () = finished.closed() => return,
        };
        let (stream, address, place) = match accepted {
            Ok(Ok(accepted)) => accepted,
            Ok(Err(why)) => {
                match (&when_full, why) {
                    (WhenFull::Refuse { refused, .. }, NoPlace::Full) => refused.inc(),
                    (WhenFull::Refuse { crowded, .. } | WhenFull::Wait { crowded }, NoPlace::Share) => {
                        crowded.inc()
                    }
                    // who waits has waited for a place
                    (WhenFull::Wait { .. }, NoPlace::Full) => 0,
                };
                continue;
            }
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // without it small answers wait for the next ones
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let Some(tls) = &tls else {
            let peer = Arc::new(Peer { address: Some(address), is_tls: false, certificate: None });
            if finished.send(Connection { io: Io::Plain(stream), peer, _place: place }).await.is_err() {
                return;
            }
            continue;
        };
        let acceptor = TlsAcceptor::from(tls.current());
        let (finished, on_failure) = (finished.clone(), Arc::clone(&on_failure));
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let certificates = stream.get_ref().1.peer_certificates();
                    let certificate = certificates.and_then(|chain| chain.first()).cloned();
                    let certificate = certificate.map(CertificateDer::into_owned);
                    let peer = Arc::new(Peer { address: Some(address), is_tls: true, certificate });
                    let connection = Connection { io: Io::Tls(Box::new(stream)), peer, _place: place };
                    // nobody takes it any more
                    drop(finished.send(connection).await);
                }
                Ok(Err(error)) => on_failure(reason(&error), &format!("{address}: {error}")),
                Err(_elapsed) => on_failure("timeout", &format!("{address}: no handshake in time")),
            }
        });
    }
}

type Accepted = (TcpStream, SocketAddr, Place);

/// The next connection and its place, or why there is none.
async fn next(
    listener: &TcpListener,
    places: &Places,
    when_full: &WhenFull,
) -> io::Result<Result<Accepted, NoPlace>> {
    match when_full {
        WhenFull::Wait { .. } => {
            let place = places.wait().await.ok_or_else(|| io::Error::other("no places"))?;
            let (stream, address) = listener.accept().await?;
            Ok(places.give(place, address.ip()).map(|place| (stream, address, place)))
        }
        WhenFull::Refuse { say, .. } => {
            let (stream, address) = listener.accept().await?;
            let place = places.take(address.ip());
            if place.is_err() && !say.is_empty() {
                // a fresh connection takes so few bytes at once; if not, it is closed all the same
                let _told = stream.try_write(say);
            }
            Ok(place.map(|place| (stream, address, place)))
        }
    }
}

/// Why a handshake failed, in a word.
fn reason(error: &io::Error) -> &'static str {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(error)) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "not_valid_yet",
            CertificateError::UnknownIssuer => "unknown_issuer",
            _ => "bad_certificate",
        },
        Some(rustls::Error::AlertReceived(_)) => "refused_by_peer",
        Some(_) => "protocol",
        None => "connection",
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Io::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Io::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_flush(context),
            Io::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Io::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_write_vectored(context, buffers),
            Io::Tls(stream) => Pin::new(stream).poll_write_vectored(context, buffers),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(stream) => stream.is_write_vectored(),
            Io::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
