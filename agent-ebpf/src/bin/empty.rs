//! The floor: programs that only return, at the hooks of the dear probes. Loaded by `cargo xtask bench agent` alone.
//!
//! What a probe costs is its own run time less this; the dispatch itself is the kernel's price, not ours.
#![no_std]
#![no_main]

use aya_ebpf::macros::{btf_tracepoint, cgroup_skb, raw_tracepoint};
use aya_ebpf::programs::{BtfTracePointContext, RawTracePointContext, SkBuffContext};

#[raw_tracepoint(tracepoint = "sys_enter")]
fn empty_sys_enter(_: RawTracePointContext) -> i32 {
    0
}

#[raw_tracepoint(tracepoint = "sys_exit")]
fn empty_sys_exit(_: RawTracePointContext) -> i32 {
    0
}

#[btf_tracepoint(function = "sched_switch")]
fn empty_switch(_: BtfTracePointContext) -> i32 {
    0
}

#[cgroup_skb]
fn empty_ingress(_: SkBuffContext) -> i32 {
    1
}

#[cgroup_skb]
fn empty_egress(_: SkBuffContext) -> i32 {
    1
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
