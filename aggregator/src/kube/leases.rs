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

/// Most addresses of one pod that it has no more; the oldest goes.
const MAX_BEFORE: usize = 16;

/// Leases by address.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    held: HashMap<IpAddr, Vec<Lease>>,
    /// Addresses that a pod had and has no more, by its uid; of few pods.
    before: HashMap<Box<str>, Vec<IpAddr>>,
}

impl Leases {
    /// A pod has these addresses now, or had them until it ended. `old` is the pod as it was told before.
    pub(super) fn hold(&mut self, object: &Arc<Object>, old: Option<&Object>, now_ns: u64) {
        let Some(pod) = object.pod().filter(|pod| !pod.host_network) else { return };
        let ended_ns = pod.ended_ns.unwrap_or(now_ns);
        let until_ns = if pod.has_ended() { ended_ns } else { u64::MAX };
        if let Some(before) = self.before.get_mut(&object.uid) {
            before.retain(|address| !pod.ips.contains(address));
        }
        let old_ips = old.and_then(Object::pod).map_or(&[][..], |old| &*old.ips);
        let mut has_moved = false;
        for address in old_ips.iter().filter(|address| !pod.ips.contains(address)) {
            has_moved = true;
            self.left(&object.uid, *address, until_ns.min(now_ns));
        }
        for address in &pod.ips {
            let leases = self.held.entry(*address).or_default();
            let own = leases.iter_mut().filter(|lease| lease.pod.uid == object.uid);
            let newest = own.max_by_key(|lease| lease.until_ns);
            match newest {
                // one that ended is not begun again by being told of
                Some(lease) if lease.until_ns == u64::MAX || pod.has_ended() => {
                    lease.pod = Arc::clone(object);
                    lease.until_ns = lease.until_ns.min(until_ns);
                }
                newest => {
                    // since when it has another address nobody says
                    let is_later = has_moved || newest.is_some();
                    let from_ns = pod.started_ns.filter(|_| !is_later).unwrap_or(now_ns).min(now_ns);
                    if leases.len() >= MAX_PER_ADDRESS {
                        leases.remove(0);
                    }
                    leases.push(Lease { from_ns, until_ns, pod: Arc::clone(object) });
                }
            }
        }
    }

    /// The pod has this address no more.
    fn left(&mut self, uid: &str, address: IpAddr, at_ns: u64) {
        for lease in self.held.get_mut(&address).into_iter().flatten().filter(|lease| &*lease.pod.uid == uid)
        {
            lease.until_ns = lease.until_ns.min(at_ns);
        }
        let before = self.before.entry(uid.into()).or_default();
        if before.contains(&address) {
            return;
        }
        before.push(address);
        if before.len() > MAX_BEFORE {
            let oldest = before.remove(0);
            self.forget_at(uid, oldest);
        }
    }

    /// Every lease of the pod.
    fn of(&mut self, object: &Object, mut change: impl FnMut(&mut Lease)) {
        let Some(pod) = object.pod() else { return };
        let before = self.before.get(&object.uid).into_iter().flatten();
        for address in pod.ips.iter().chain(before) {
            let leases = self.held.get_mut(address).into_iter().flatten();
            leases.filter(|lease| lease.pod.uid == object.uid).for_each(&mut change);
        }
    }

    /// The same pod, told anew.
    pub(super) fn renew(&mut self, object: &Arc<Object>) {
        self.of(object, |lease| lease.pod = Arc::clone(object));
    }

    /// The pod has gone.
    pub(super) fn end(&mut self, object: &Object, at_ns: u64) {
        self.of(object, |lease| lease.until_ns = lease.until_ns.min(at_ns));
    }

    /// Nobody asks for the pod any more.
    pub(super) fn forget(&mut self, object: &Object) {
        let Some(pod) = object.pod() else { return };
        for address in self.before.remove(&object.uid).iter().flatten().chain(&pod.ips) {
            self.forget_at(&object.uid, *address);
        }
    }

    fn forget_at(&mut self, uid: &str, address: IpAddr) {
        if let Some(leases) = self.held.get_mut(&address) {
            leases.retain(|lease| &*lease.pod.uid != uid);
            if leases.is_empty() {
                self.held.remove(&address);
            }
        }
    }

    /// Who had the address during `[from, to)`; of several the one who had it longest. Where nobody had it, who had it
    /// within `SLACK_NS`: clocks differ, and a connection's last packets come after its pod.
    pub(crate) fn at(&self, address: IpAddr, from_ns: u64, to_ns: u64) -> Option<&Arc<Object>> {
        let leases = self.held.get(&address)?;
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
