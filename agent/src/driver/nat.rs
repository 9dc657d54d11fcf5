//! Asks conntrack at a window's end, where a client of this node spoke to a service.
//!
//! Closed TCP connections are in conntrack's table for two minutes, UDP for half a minute, so a reading per window of
//! 10 s finds them. Where conntrack cannot be asked, the aggregator still names the service.

use std::net::IpAddr;

use crate::decode::conntrack::{self, Run};
use crate::driver::states::States;
use crate::identity::Identities;
use crate::kernel::netlink::{Ended, Netfilter, Next};
use crate::window::assemble::Named;
use crate::window::nat::{Asked, Translations, resolve};
use crate::window::sample::Loss;

/// Windows after a failure in which conntrack is not asked.
const PAUSE: u32 = 6;

/// The way to conntrack.
#[derive(Debug, Default)]
pub struct Nat {
    socket: Option<Netfilter>,
    known: Translations,
    paused: u32,
}

impl Nat {
    /// Puts the real ends into a window's rows.
    pub(super) fn fill(
        &mut self,
        rows: &mut Vec<Named>,
        identities: &std::sync::Mutex<Identities>,
        states: &States,
        losses: &mut Vec<Loss>,
    ) {
        let asked = Asked::of(super::lock(identities).kube_node());
        if !asked.any(rows) {
            return;
        }
        if self.paused > 0 {
            self.paused -= 1;
            return;
        }
        match self.read() {
            Ok(ended) => {
                states.running("conntrack", Vec::new());
                let cut = u64::from(ended == Ended::Cut) + self.known.left_out;
                if cut > 0 {
                    losses.push(Loss {
                        signal: "identity",
                        stage: "kernel",
                        reason: "conntrack_cut",
                        count: cut,
                    });
                }
            }
            Err(error) => {
                self.socket = None;
                self.paused = PAUSE;
                let is_denied = error.kind() == std::io::ErrorKind::PermissionDenied;
                let (code, what) = if is_denied {
                    (
                        "permission",
                        "reading conntrack needs CAP_NET_ADMIN; flows to services name the service, not the pod",
                    )
                } else {
                    ("netlink", "conntrack was not read; flows to services name the service, not the pod")
                };
                states.unsupported("conntrack", code, &format!("{what} ({error})"));
                return;
            }
        }
        let identities = super::lock(identities);
        let clients = |identity: &proto::v1::Identity| -> Vec<IpAddr> {
            let pod = identities.kube_pod(&identity.pod_uid);
            let ips = pod.iter().flat_map(|pod| &pod.ips);
            ips.filter_map(|ip| ip.parse::<IpAddr>().ok()).map(|ip| ip.to_canonical()).collect()
        };
        resolve(rows, &asked, &self.known, clients);
        drop(identities);
        self.known.end();
    }

    fn read(&mut self) -> std::io::Result<Ended> {
        let Self { socket, known, .. } = self;
        let socket = match socket {
            Some(socket) => socket,
            None => socket.insert(Netfilter::open()?),
        };
        known.begin();
        socket.ask(conntrack::dump_request, |bytes| {
            match conntrack::translations(bytes, |translation| known.add(translation)) {
                Run::Goes => Next::More,
                Run::Done => Next::Done,
                Run::Refused(errno) => Next::Refused(errno),
            }
        })
    }
}
