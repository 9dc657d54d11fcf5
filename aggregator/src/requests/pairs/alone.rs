//! Requests that are no spans, as one end counted them: who the other end is, by what spans of the same ends said.
//!
//! A request of two ends is counted by its client. What a server counted counts only if its client is nobody who is seen.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{Channel, Pairs, Party, Side, cut};
use crate::requests::counted::Counted;
use crate::requests::span::{Ends, Role};

/// Addresses of servers, and of clients with what they ask for.
const MOST_ADDRESSES: usize = 32_768;

/// Who serves where, and from where somebody asks whose requests are seen there.
#[derive(Debug, Default)]
pub(super) struct Whereabouts {
    servers: HashMap<(Arc<str>, SocketAddr), Arc<Party>>,
    /// `None`: several share the address.
    askers: HashMap<(Arc<str>, IpAddr, u16), Option<Arc<Party>>>,
}

impl Whereabouts {
    pub(super) fn learn(&mut self, place: &Arc<str>, ends: &Ends, role: Role, party: &Arc<Party>) {
        if role == Role::Client {
            // an address of a node is many's: what comes from outside is often seen to come from there too, as what somebody
            // on the node asks itself, say a kubelet
            if party.namespace.is_empty() && !ends.client.ip().is_loopback() {
                return;
            }
            if self.askers.len() >= MOST_ADDRESSES {
                self.askers.clear();
            }
            let asker = self
                .askers
                .entry((Arc::clone(place), ends.client.ip(), ends.server.port()))
                .or_insert_with(|| Some(Arc::clone(party)));
            if asker.as_ref().is_some_and(|known| known != party) {
                *asker = None;
            }
            return;
        }
        if self.servers.len() >= MOST_ADDRESSES {
            self.servers.clear();
        }
        self.servers.insert((Arc::clone(place), ends.server), Arc::clone(party));
    }

    /// Who serves at this address.
    pub(super) fn server(&self, place: &Arc<str>, address: SocketAddr) -> Option<&Arc<Party>> {
        self.servers.get(&(Arc::clone(place), address))
    }

    /// Whether somebody at this address, whose requests are seen, asks for a server's port; and who, where it is one.
    pub(super) fn asked(&self, place: &Arc<str>, client: IpAddr, port: u16) -> Option<&Option<Arc<Party>>> {
        self.askers.get(&(Arc::clone(place), client, port))
    }
}

/// Requests of one end, as far as the other one is known.
#[derive(Debug)]
pub(crate) struct Alone {
    pub(crate) is_client: bool,
    pub(crate) side: Side,
    /// Where its addresses mean something.
    place: Arc<str>,
    server_port: u16,
    /// The server, of a client's.
    pub(crate) server: Option<Arc<Party>>,
    /// Of a server's: its client counts them.
    pub(crate) is_asked: bool,
    /// Who that is, where it is one.
    pub(crate) asker: Option<Arc<Party>>,
}

impl Pairs {
    /// What a row of counts says of its ends, by all spans that came so far.
    pub(crate) fn alone(&mut self, counted: &Counted<'_>) -> Alone {
        let mut alone = Alone {
            is_client: counted.is_client,
            side: self.side_of(counted),
            place: counted.place().into(),
            server_port: counted.server_port,
            server: None,
            is_asked: false,
            asker: None,
        };
        self.look_up(&mut alone);
        alone
    }

    /// The same anew, now that more spans came.
    pub(crate) fn look_up(&self, alone: &mut Alone) {
        let known = &self.whereabouts;
        let peer = alone.side.peer.map(|peer| peer.ip());
        if alone.is_client {
            let at = alone.side.peer.and_then(|peer| known.server(&alone.place, peer));
            alone.server = at.map(Arc::clone);
        } else {
            // of whom nothing is known it cannot be said that nobody counts them
            let asked = peer.and_then(|ip| known.asked(&alone.place, ip, alone.server_port));
            alone.is_asked = peer.is_none() || asked.is_some();
            alone.asker = asked.cloned().flatten();
        }
    }

    fn side_of(&mut self, counted: &Counted<'_>) -> Side {
        let channel = match counted.protocol {
            "postgresql" | "mysql" | "redis" => Channel::Database,
            "kafka" => Channel::Messaging,
            _ => Channel::Direct,
        };
        let party = Party {
            namespace: cut(counted.namespace),
            workload: cut(counted.workload),
            kind: cut(counted.workload_kind),
            service: cut(counted.workload),
        };
        // a client's port says nothing
        let port = if counted.is_client { counted.server_port } else { 0 };
        Side {
            party: self.shared(party),
            start_ns: counted.ts,
            duration_ns: 0,
            failed: counted.status == "error",
            protocol: self.name(counted.protocol),
            channel,
            is_wake: true,
            has_parent: false,
            peer: counted.peer.map(|ip| SocketAddr::new(ip, port)),
            peer_name: None,
        }
    }
}
