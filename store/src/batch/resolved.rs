//! What the aggregator knew when a batch came in: written down as a second zstd frame behind the batch's own, since
//! frames and messages both add up by standing one behind the other. So nothing is packed anew, and a replay joins the
//! same rows as the first time.

use prost::Message as _;
use proto::v1;

use super::Resolve;

/// The most bytes that it may add to a payload, unpacked; a batch that would need more goes without.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// A frame that is ready to be appended.
pub(super) struct Frame {
    pub(super) bytes: Vec<u8>,
    pub(super) unpacked: u64,
    pub(super) resolved: v1::Resolved,
}

/// What `resolve` knows of this payload, packed; `None` when that is nothing.
pub(super) fn frame(payload: &v1::Payload, resolve: Resolve<'_>) -> Option<Frame> {
    let resolved = resolve(payload)?;
    if resolved.peers.is_empty() && resolved.completions.is_empty() {
        return None;
    }
    let payload = v1::Payload { resolved: Some(resolved), ..v1::Payload::default() };
    let encoded = payload.encode_to_vec();
    let unpacked = encoded.len() as u64;
    if unpacked > MAX_BYTES {
        tracing::warn!(bytes = unpacked, "names of a batch left out: more than may be added to it");
        return None;
    }
    match zstd::bulk::compress(&encoded, 1) {
        Ok(bytes) => Some(Frame { bytes, unpacked, resolved: payload.resolved? }),
        Err(error) => {
            tracing::warn!(%error, "names of a batch left out: not packed");
            None
        }
    }
}

/// Puts what was known into the rows. Places that are not there are passed over.
pub(super) fn join(payload: &mut v1::Payload) {
    let Some(v1::Resolved { peers, completions }) = payload.resolved.take() else { return };
    for peer in &peers {
        for place in &peer.flows {
            if let Some(flow) = payload.flows.get_mut(*place as usize) {
                name_peer(flow, peer);
            }
        }
    }
    for completion in completions {
        if let Some(identity) = payload.identities.get_mut(completion.identity as usize) {
            complete(identity, completion);
        }
    }
}

fn name_peer(flow: &mut v1::FlowRow, peer: &v1::Peer) {
    let v1::Peer {
        flows: _,
        kind,
        namespace,
        workload,
        workload_kind,
        pod,
        zone,
        service,
        node,
        nat_source,
        real,
    } = peer;
    for (into, from) in [
        (&mut flow.peer_kind, kind),
        (&mut flow.peer_namespace, namespace),
        (&mut flow.peer_workload, workload),
        (&mut flow.peer_workload_kind, workload_kind),
        (&mut flow.peer_pod, pod),
        (&mut flow.peer_zone, zone),
        (&mut flow.peer_service, service),
        (&mut flow.peer_node, node),
        (&mut flow.nat_source, nat_source),
    ] {
        if !from.is_empty() {
            into.clone_from(from);
        }
    }
    if let Some(v1::Real { address, port }) = real
        && flow.asked_address.is_empty()
    {
        flow.asked_address = std::mem::replace(&mut flow.peer_address, address.clone());
        flow.asked_port = std::mem::replace(&mut flow.server_port, *port);
    }
}

fn complete(identity: &mut v1::Identity, completion: v1::Completion) {
    let v1::Completion {
        identity: _,
        cluster,
        zone,
        namespace,
        workload,
        workload_kind,
        pod,
        container,
        labels,
    } = completion;
    for (into, from, wins) in [
        (&mut identity.cluster, cluster, false),
        (&mut identity.zone, zone, false),
        (&mut identity.namespace, namespace, false),
        (&mut identity.workload, workload, true),
        (&mut identity.workload_kind, workload_kind, true),
        (&mut identity.pod, pod, false),
        (&mut identity.container, container, true),
        (&mut identity.labels, labels, false),
    ] {
        if !from.is_empty() && (wins || into.is_empty()) {
            *into = from;
        }
    }
}
