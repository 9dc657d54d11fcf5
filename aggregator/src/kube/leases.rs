//! Whose an address was when: addresses of pods are used again within seconds.
//!
//! Pods of the host's network have none: the address is the node's.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::object::Object;

/// Most leases of one address; the oldest goes.
const MAX_PER_ADDRESS: usize = 16;
/// How far off a lease may be.
const SLACK_NS: u64 = 20_000_000_000;

#[derive(Clone, Debug)]
struct Lease {
    from_ns: u64,
    /// `u64::MAX` while it lasts.
    until_ns: u64,
    pod: Arc<Object>,
}

/// Leases by address.
#[derive(Debug, Default)]
pub(crate) struct Leases(HashMap<IpAddr, Vec<Lease>>);

impl Leases {
    /// A pod has these addresses now, or had them until it ended.
    pub(super) fn hold(&mut self, object: &Arc<Object>, now_ns: u64) {
        let Some(pod) = object.pod().filter(|pod| !pod.host_network) else { return };
        let until_ns = if pod.has_ended() { pod.ended_ns.unwrap_or(now_ns) } else { u64::MAX };
        for address in &pod.ips {
            let leases = self.0.entry(*address).or_default();
            match leases.iter_mut().find(|lease| lease.pod.uid == object.uid) {
                Some(lease) => {
                    lease.pod = Arc::clone(object);
                    lease.until_ns = lease.until_ns.min(until_ns);
                }
                None => {
                    let from_ns = pod.started_ns.unwrap_or(now_ns).min(now_ns);
                    if leases.len() >= MAX_PER_ADDRESS {
                        leases.remove(0);
                    }
                    leases.push(Lease { from_ns, until_ns, pod: Arc::clone(object) });
                }
            }
        }
    }

    /// The same pod, told anew.
    pub(super) fn renew(&mut self, object: &Arc<Object>) {
        let Some(pod) = object.pod() else { return };
        for address in &pod.ips {
            for lease in self.0.get_mut(address).into_iter().flatten() {
                if lease.pod.uid == object.uid {
                    lease.pod = Arc::clone(object);
                }
            }
        }
    }

    /// The pod has gone.
    pub(super) fn end(&mut self, object: &Object, at_ns: u64) {
        let Some(pod) = object.pod() else { return };
        for address in &pod.ips {
            for lease in self.0.get_mut(address).into_iter().flatten() {
                if lease.pod.uid == object.uid {
                    lease.until_ns = lease.until_ns.min(at_ns);
                }
            }
        }
    }

    /// Nobody asks for the pod any more.
    pub(super) fn forget(&mut self, object: &Object) {
        let Some(pod) = object.pod() else { return };
        for address in &pod.ips {
            if let Some(leases) = self.0.get_mut(address) {
                leases.retain(|lease| lease.pod.uid != object.uid);
                if leases.is_empty() {
                    self.0.remove(address);
                }
            }
        }
    }

    /// Who had the address during `[from, to)`; of several the one who had it longest. Where nobody had it, who had it
    /// within `SLACK_NS`: clocks differ, and a connection's last packets come after its pod.
    pub(crate) fn at(&self, address: IpAddr, from_ns: u64, to_ns: u64) -> Option<&Arc<Object>> {
        let leases = self.0.get(&address)?;
        let overlap = |lease: &Lease| {
            let (from, to) = (lease.from_ns.max(from_ns), lease.until_ns.min(to_ns));
            to.checked_sub(from)
        };
        let held = leases.iter().filter_map(|lease| Some((overlap(lease)?, &lease.pod)));
        if let Some((_, pod)) = held.max_by_key(|(length, _)| *length) {
            return Some(pod);
        }
        let gap =
            |lease: &Lease| from_ns.saturating_sub(lease.until_ns).max(lease.from_ns.saturating_sub(to_ns));
        let near = leases.iter().map(|lease| (gap(lease), &lease.pod)).filter(|(gap, _)| *gap <= SLACK_NS);
        near.min_by_key(|(gap, _)| *gap).map(|(_, pod)| pod)
    }
}
