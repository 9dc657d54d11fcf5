//! probe
#![no_std]
#![no_main]
use aya_ebpf::{macros::{raw_tracepoint, map}, programs::RawTracePointContext, maps::PerCpuArray};

#[map]
static COUNT: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

#[raw_tracepoint(tracepoint = "sys_exit")]
fn sys_exit(_ctx: RawTracePointContext) -> i32 {
    if let Some(n) = COUNT.get_ptr_mut(0) { unsafe { *n += 1 }; }
    0
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! { loop {} }

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
