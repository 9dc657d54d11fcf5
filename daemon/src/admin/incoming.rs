//! Finished connections, as axum takes them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::serve::Listener;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::tls::accept::{Connection, OnFailure, accept};
use crate::tls::server::ServerTls;

/// Connections of one listener.
#[derive(Debug)]
pub(super) struct Incoming {
    connections: mpsc::Receiver<Connection>,
    local: SocketAddr,
}

impl Incoming {
    /// At most so many at a time.
    pub(super) fn new(
        listener: TcpListener,
        tls: Option<ServerTls>,
        most: usize,
        on_failure: Option<OnFailure>,
    ) -> io::Result<Self> {
        let local = listener.local_addr()?;
        let on_failure = on_failure.unwrap_or_else(|| Arc::new(|_, _| {}));
        Ok(Self { connections: accept(listener, tls, most, on_failure), local })
    }
}

impl Listener for Incoming {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        match self.connections.recv().await {
            Some(connection) => {
                let address = connection.peer().address.unwrap_or(self.local);
                (connection, address)
            }
            // what accepts has ended with the runtime: nothing more comes
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}
