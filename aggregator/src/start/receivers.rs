//! The servers for what applications send.

use daemon::http::{Door, HttpMetrics};
use daemon::shutdown::{Phase, Shutdown};
use tokio::net::TcpListener;

use super::or_stop;
use crate::ingest::otlp;
use crate::tls::Tls;

/// Where OTLP comes in, and how it is encrypted.
pub(crate) struct Receivers {
    pub(crate) grpc: Option<TcpListener>,
    pub(crate) http: Option<TcpListener>,
    pub(crate) tls: Option<Tls>,
}

/// Serves OTLP on the addresses that were bound for it.
pub(crate) fn receive(at: Receivers, otlp: otlp::Context, http: &HttpMetrics, shutdown: &Shutdown) {
    if let Some(listener) = at.http {
        let (tls, on_failure) = match &at.tls {
            Some(tls) => (Some(tls.api.clone()), Some(tls.on_failure("otlp http"))),
            None => (None, None),
        };
        let door = Door { tls, on_failure, ..Door::plain(listener, http.of("otlp_http")) };
        let token = shutdown.register(Phase::Intake, "otlp http");
        let served = daemon::http::serve(door, otlp::router(otlp.clone()), token, || {});
        tokio::spawn(or_stop("otlp http", served, shutdown.clone()));
    }
    if let Some(listener) = at.grpc {
        let token = shutdown.register(Phase::Intake, "otlp grpc");
        let served = otlp::serve_grpc(listener, at.tls, otlp, token);
        tokio::spawn(or_stop("otlp grpc", served, shutdown.clone()));
    }
}
