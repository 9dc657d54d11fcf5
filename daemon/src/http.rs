//! HTTP/1.1 as every listener here serves it: a bounded number of connections, and patience with each of them that ends.
//!
//! Who sends a request's head or body byte by byte, or does not read its answer, is let go; a connection beyond those that
//! may be, in all or of one address, is refused at once. Both are counted by listener and reason. On loopback only requests to `localhost` or an
//! address are answered. At the stop nothing new is taken, open requests get half a second, then they are cut.
//!
//! Does not: know routes or who may ask (the app does), nor gRPC (tonic has a loop of its own).

mod host;
mod metrics;
mod patience;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::shutdown::Token;
use crate::tls::accept::{Connection, OnFailure, Room, WhenFull, accept};
use crate::tls::server::ServerTls;

pub use metrics::{Ended, HttpMetrics, Listener};
pub use patience::Patience;

/// One address has at most this part of a listener's places.
const SHARES: usize = 4;
/// How long open requests may go on after the stop, before their connections are cut.
const LINGER: Duration = Duration::from_millis(500);
/// The most bytes of a request's head, and of what is read ahead of a body.
const HEAD_BYTES: usize = 64 << 10;
/// What a connection hears for which there is no place.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\
Content-Type: text/plain; charset=utf-8\r\nContent-Length: 30\r\n\r\nas many connect as may be now\n";

/// A listener, what is spoken on it, and how much it bears.
pub struct Door {
    /// Where connections come in.
    pub listener: TcpListener,
    /// TLS, unless it is plain text.
    pub tls: Option<ServerTls>,
    /// Told of failed handshakes.
    pub on_failure: Option<OnFailure>,
    /// What is counted.
    pub metrics: Listener,
    /// Connections at a time.
    pub most: usize,
    /// How long a peer may take.
    pub patience: Patience,
}

impl fmt::Debug for Door {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Door").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl Door {
    /// A door without TLS and with the usual bounds.
    pub fn plain(listener: TcpListener, metrics: Listener) -> Self {
        Self { listener, tls: None, on_failure: None, metrics, most: 256, patience: Patience::default() }
    }
}

/// Serves `app` until the token's phase begins; `on_stop` is called then, and the token is dropped at the end.
///
/// # Errors
/// When the listener has no address.
pub async fn serve(door: Door, mut app: Router, token: Token, on_stop: impl FnOnce()) -> io::Result<()> {
    let Door { listener, tls, on_failure, metrics, most, patience } = door;
    // a page of the web has no certificate for the name that it made point here
    if tls.is_none() && listener.local_addr()?.ip().is_loopback() {
        app = app.layer(axum::middleware::from_fn(host::check));
    }
    let refused = metrics.counter(Ended::Full);
    let crowded = metrics.counter(Ended::Crowded);
    let room =
        Room { most, each: most / SHARES, when_full: WhenFull::Refuse { say: FULL, refused, crowded } };
    let on_failure = on_failure.unwrap_or_else(|| Arc::new(|_, _| {}));
    let mut connections = accept(listener, tls, room, on_failure);
    let (mut open, stopping) = (JoinSet::new(), CancellationToken::new());
    loop {
        tokio::select! {
            connection = connections.recv() => match connection {
                Some(connection) => {
                    let served = Served { metrics: metrics.clone(), patience };
                    open.spawn(served.run(connection, app.clone(), stopping.clone()));
                }
                // what accepts has ended with the runtime: nothing more comes
                None => token.stopped().await,
            },
            Some(_) = open.join_next() => {}
            () = token.stopped() => break,
        }
        if token.is_stopped() {
            break;
        }
    }
    on_stop();
    drop(connections);
    stopping.cancel();
    let ended = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(LINGER, ended).await.is_err() {
        open.shutdown().await;
    }
    drop(token);
    Ok(())
}

/// One connection.
struct Served {
    metrics: Listener,
    patience: Patience,
}

impl Served {
    async fn run(self, connection: Connection, app: Router, stopping: CancellationToken) {
        let Self { metrics, patience } = self;
        let _counted = Counted::one(metrics.open());
        let (slow_body, slow_reader) = (metrics.counter(Ended::Body), metrics.counter(Ended::Answer));
        let service = service_fn(move |request: Request<Incoming>| {
            let body = patience::Timed::wrap(request, patience.body, slow_body.clone());
            answer(app.clone(), body)
        });
        let io = patience::Reading::new(connection, patience.answer, slow_reader);
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(patience.head).max_buf_size(HEAD_BYTES);
        let connection = builder.serve_connection(TokioIo::new(io), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            if error.is_timeout() {
                metrics.counter(Ended::Head).inc();
            }
            tracing::trace!(%error, "connection ended");
        }
    }
}

async fn answer(app: Router, request: Request<Body>) -> Result<Response<Body>, Infallible> {
    app.oneshot(request).await
}

/// A connection among those that are open, until it is dropped.
struct Counted(Gauge);

impl Counted {
    fn one(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
