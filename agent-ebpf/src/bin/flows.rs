//! Flows: who talks to whom and how much, per socket; connects, ends, retransmits, resets and drops.
//!
//! Hooks: `cgroup_skb` both ways, `inet_sock_set_state`, `tcp_retransmit_skb`, `tcp_send_reset`,
//! `tcp_receive_reset`, `kfree_skb`. Kernel: 5.10. No packet is ever dropped or changed: every path returns 1.
#![no_std]
#![no_main]

#[path = "../flows/dropped.rs"]
mod dropped;
#[path = "../flows/edge.rs"]
mod edge;
#[path = "../flows/maps.rs"]
mod maps;
#[path = "../flows/owner.rs"]
mod owner;
#[path = "../flows/packet.rs"]
mod packet;
#[path = "../flows/socket.rs"]
mod socket;
#[path = "../flows/state.rs"]
mod state;

use aya_ebpf::macros::{btf_tracepoint, cgroup_skb};
use aya_ebpf::programs::{BtfTracePointContext, SkBuffContext};

/// Let the packet pass; 0 would drop it.
const PASS: i32 = 1;

#[cgroup_skb(ingress)]
fn flows_ingress(context: SkBuffContext) -> i32 {
    packet::packet(context.skb.skb, false);
    PASS
}

#[cgroup_skb(egress)]
fn flows_egress(context: SkBuffContext) -> i32 {
    packet::packet(context.skb.skb, true);
    PASS
}

#[btf_tracepoint(function = "inet_sock_set_state")]
fn flows_state(context: BtfTracePointContext) -> i32 {
    state::changed(context.arg(0), context.arg::<u64>(1) as u32, context.arg::<u64>(2) as u32);
    0
}

#[btf_tracepoint(function = "tcp_retransmit_skb")]
fn flows_retransmit(context: BtfTracePointContext) -> i32 {
    state::retransmitted(context.arg(0));
    0
}

#[btf_tracepoint(function = "tcp_receive_reset")]
fn flows_reset_received(context: BtfTracePointContext) -> i32 {
    state::reset(context.arg(0));
    0
}

#[btf_tracepoint(function = "tcp_send_reset")]
fn flows_reset_sent(context: BtfTracePointContext) -> i32 {
    // the socket may be absent
    let socket: u64 = context.arg(0);
    if socket != 0 {
        state::reset(socket);
    }
    0
}

#[btf_tracepoint(function = "kfree_skb")]
fn flows_drop(context: BtfTracePointContext) -> i32 {
    // constant positions: the verifier refuses an index that it does not know, and one that this kernel lacks is
    // in a branch that it drops
    let reason = match maps::DROP_REASON_ARG.load() {
        2 => context.arg::<u64>(2) as u32,
        _ => dropped::UNKNOWN,
    };
    let receiver = match maps::DROP_SOCKET_ARG.load() {
        3 => context.arg::<u64>(3),
        _ => 0,
    };
    dropped::dropped(context.arg(0), reason, receiver);
    0
}

agent_ebpf::object!(agent_common::flows::LAYOUT);
