//! Reading kernel structs at offsets that the agent found, and counting in shared memory.

use agent_common::histogram::{BUCKETS, bucket};
use aya_ebpf::Global;
use aya_ebpf::helpers::bpf_probe_read_kernel;

/// The offset of a field that this kernel lacks: the verifier then drops the branch.
pub const ABSENT: u32 = u32::MAX;

/// The global that holds a field's offset.
pub type Offset = Global<u32>;

/// A field that no kernel has until the agent says where it is.
pub const fn absent() -> Offset {
    Offset::new(ABSENT)
}

/// Whether this kernel has the field.
#[inline(always)]
pub fn has(offset: &Offset) -> bool {
    offset.load() != ABSENT
}

/// Reads a field through the helper: any address, `None` where it cannot be read.
#[inline(always)]
pub fn read<T>(base: u64, offset: &Offset) -> Option<T> {
    let offset = offset.load();
    if offset == ABSENT || base == 0 {
        return None;
    }
    // SAFETY: the helper checks the address and fails on one that cannot be read.
    unsafe { bpf_probe_read_kernel(base.wrapping_add(u64::from(offset)) as *const T) }.ok()
}

/// Reads a field of a struct that the verifier knows (a BTF tracepoint's argument, or reached from one) without a
/// helper: the offset is a frozen constant, so the verifier checks it against the struct.
///
/// # Safety
/// `base` comes from a BTF tracepoint's argument and `offset` is that of a `T` in it, and not absent.
#[inline(always)]
pub unsafe fn field<T: Copy>(base: *const u8, offset: &Offset) -> T {
    // SAFETY: the caller's.
    unsafe { *base.add(offset.load() as usize).cast::<T>() }
}

/// The same number, of which the compiler knows nothing: what is computed from it stays as it was written.
#[inline(always)]
pub fn hide(value: u64) -> u64 {
    let mut hidden = value;
    // SAFETY: a register is copied to itself. Not no instruction at all: kernels refuse two lines at one instruction.
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) hidden, options(nomem, nostack)) };
    hidden
}

/// The place of a duration in a histogram, if it has one. The compiler knows that it always has, and would drop the check;
/// old verifiers (5.10) do not see it and need the check.
#[inline(always)]
pub fn place(nanos: u64) -> Option<usize> {
    let place = core::hint::black_box(bucket(nanos)) as usize;
    if place < BUCKETS { Some(place) } else { None }
}

/// Adds to a counter that other CPUs add to as well.
///
/// # Safety
/// `counter` points into a map's value.
#[inline(always)]
pub unsafe fn add(counter: *mut u64, value: u64) {
    // SAFETY: the caller's.
    unsafe {
        core::intrinsics::atomic_xadd::<u64, u64, { core::intrinsics::AtomicOrdering::Relaxed }>(
            counter, value,
        )
    };
}

/// As `add`, for small counters.
///
/// # Safety
/// `counter` points into a map's value.
#[inline(always)]
pub unsafe fn add32(counter: *mut u32, value: u32) {
    // SAFETY: the caller's.
    unsafe {
        core::intrinsics::atomic_xadd::<u32, u32, { core::intrinsics::AtomicOrdering::Relaxed }>(
            counter, value,
        )
    };
}
