//! Asks conntrack at a window's end, where a client of this node spoke to a service.
//!
//! Closed TCP connections are in conntrack's table for two minutes, UDP for half a minute, so a reading per window of
//! 10 s finds them. Where conntrack cannot be asked, the aggregator still names the service.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use daemon::clock::Clock;
use proto::v1::{Identity, KubePod};

use crate::decode::conntrack::{self, Dump, Run};
use crate::driver::states::States;
use crate::identity::Identities;
use crate::kernel::netlink::{Ended, Netfilter, Next};
use crate::window::assemble::Named;
use crate::window::nat::{Asked, Translations, Wanted, resolve};
use crate::window::sample::{Loss, Row};

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
    /// Puts the real ends into a window's rows, of which `max_rows` may be flows.
    pub(super) fn fill(
        &mut self,
        rows: &mut Vec<Named>,
        max_rows: usize,
        identities: &std::sync::Mutex<Identities>,
        states: &States,
        losses: &mut Vec<Loss>,
        clock: &Clock,
    ) {
        let asked = Asked::of(super::lock(identities).kube_node());
        let wanted = asked.wanted(rows);
        if wanted.is_empty() {
            return;
        }
        if self.paused > 0 {
            self.paused -= 1;
            return;
        }
        match self.read(clock) {
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
                self.known.end();
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
        let clients = clients(&asked, rows, &wanted, identities);
        let of = |identity: &Identity| clients.get(&key(identity))?.as_deref();
        let flows = rows.iter().filter(|named| matches!(named.row, Row::Flow(_))).count();
        let unshared = resolve(rows, &wanted, &mut self.known, of, max_rows.saturating_sub(flows));
        if unshared > 0 {
            let loss = Loss { signal: "identity", stage: "window", reason: "row_budget", count: unshared };
            losses.push(loss);
        }
        self.known.end();
    }

    fn read(&mut self, clock: &Clock) -> std::io::Result<Ended> {
        let Self { socket, known, .. } = self;
        let socket = match socket {
            Some(socket) => socket,
            None => socket.insert(Netfilter::open()?),
        };
        known.begin();
        let mut dump = None;
        socket.ask(clock, conntrack::dump_request, |sequence, bytes| {
            let dump = dump.get_or_insert_with(|| Dump::new(sequence));
            match dump.take(bytes, |translation| known.add(translation)) {
                Run::Goes => Next::More,
                Run::Done if dump.is_interrupted => Next::Torn,
                Run::Done => Next::Done,
                Run::Refused(errno) => Next::Refused(errno),
            }
        })
    }
}

/// Owners with the same key have the same addresses.
fn key(identity: &Identity) -> (String, bool) {
    (identity.pod_uid.clone(), identity.workload_kind == "container")
}

/// The addresses of each owner; the table of names is held for a look-up per pod and no longer.
fn clients(
    asked: &Asked,
    rows: &[Named],
    wanted: &[Wanted],
    identities: &std::sync::Mutex<Identities>,
) -> HashMap<(String, bool), Option<Vec<IpAddr>>> {
    let owners: HashMap<(String, bool), &Identity> = wanted
        .iter()
        .filter_map(|wanted| rows.get(wanted.row))
        .map(|named| (key(&named.identity), &*named.identity))
        .collect();
    let identities = super::lock(identities);
    let pods: Vec<(&Identity, Option<Arc<KubePod>>)> =
        owners.into_values().map(|owner| (owner, identities.kube_pod(&owner.pod_uid))).collect();
    drop(identities);
    pods.into_iter().map(|(owner, pod)| (key(owner), asked.clients(owner, pod.as_deref()))).collect()
}
