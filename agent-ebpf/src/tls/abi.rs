//! Registers where a function of a library begins or ends: System V's for C, Go's own for Go.

use aya_ebpf::programs::ProbeContext;
use core::ptr::read_volatile;

/// Offsets in `pt_regs` (ptrace's ABI).
#[cfg(bpf_target_arch = "x86_64")]
mod place {
    pub const R14: usize = 8;
    pub const RBX: usize = 40;
    pub const RAX: usize = 80;
    pub const RCX: usize = 88;
    pub const RSI: usize = 104;
    pub const RDI: usize = 112;
    pub const RSP: usize = 152;
}

#[inline(always)]
fn register(context: &ProbeContext, offset: usize) -> u64 {
    // SAFETY: the context is a `pt_regs`, and the offset is the ABI's.
    unsafe { read_volatile(context.regs.cast::<u8>().add(offset).cast::<u64>()) }
}

/// Arguments of a C function at its first instruction.
pub mod c {
    use super::{ProbeContext, place, register};

    #[inline(always)]
    pub fn first(context: &ProbeContext) -> u64 {
        register(context, place::RDI)
    }

    #[inline(always)]
    pub fn second(context: &ProbeContext) -> u64 {
        register(context, place::RSI)
    }

    /// The third of interest is a length, which the result tells better; this is the one behind it.
    #[inline(always)]
    pub fn fourth(context: &ProbeContext) -> u64 {
        register(context, place::RCX)
    }

    #[inline(always)]
    pub fn result(context: &ProbeContext) -> u64 {
        register(context, place::RAX)
    }
}

/// Arguments of a Go function (ABIInternal, 1.17).
pub mod go {
    use super::{ProbeContext, place, register};

    #[inline(always)]
    pub fn first(context: &ProbeContext) -> u64 {
        register(context, place::RAX)
    }

    #[inline(always)]
    pub fn second(context: &ProbeContext) -> u64 {
        register(context, place::RBX)
    }

    #[inline(always)]
    pub fn third(context: &ProbeContext) -> u64 {
        register(context, place::RCX)
    }

    #[inline(always)]
    pub fn fourth(context: &ProbeContext) -> u64 {
        register(context, place::RDI)
    }

    #[inline(always)]
    pub fn result(context: &ProbeContext) -> u64 {
        register(context, place::RAX)
    }

    /// The goroutine's struct.
    #[inline(always)]
    pub fn goroutine(context: &ProbeContext) -> u64 {
        register(context, place::R14)
    }

    #[inline(always)]
    pub fn stack(context: &ProbeContext) -> u64 {
        register(context, place::RSP)
    }
}
