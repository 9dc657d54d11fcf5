//! Plaintext that went through a library, in the form in which `requests` takes a syscall's bytes.

use agent_common::lost;
use agent_common::requests::DATA_LEN;
use agent_common::tls::{Inside, PLAINTEXT};
use agent_ebpf::lost::lose;
use aya_ebpf::helpers::{bpf_probe_read_user, generated};
use core::hint::black_box;

/// One buffer, always; the other forms are those of syscalls.
pub const PLAIN: u8 = 1;
pub const MESSAGES: u8 = 4;
pub const ELSEWHERE: u8 = 5;

/// As in `requests`.
#[derive(Clone, Copy)]
pub struct Call {
    pub direction: u8,
    pub shape: u8,
    /// Zero: what a library hands out is there.
    pub is_discarded: u8,
    /// Where the plaintext is.
    pub place: u64,
    /// Bytes of it.
    pub total: u64,
    /// The key of its entry in `CONNS`.
    pub socket: u64,
    /// Process and thread.
    pub ids: u64,
    /// As `Header.task`.
    pub task: u64,
}

/// What the program before has kept of this thread.
///
/// # Safety
/// `slot` is this thread's.
#[inline(always)]
pub unsafe fn kept(slot: *const Inside, ids: u64) -> Call {
    // SAFETY: the caller's.
    unsafe {
        Call {
            direction: (*slot).direction as u8,
            shape: PLAIN,
            is_discarded: 0,
            place: (*slot).buffer,
            total: (*slot).total,
            socket: (*slot).socket | PLAINTEXT,
            ids,
            task: (*slot).session,
        }
    }
}

/// As in `requests`: one buffer.
#[inline(always)]
pub fn buffers(call: &Call) -> (u64, u64, u64) {
    (call.place, 0, 0)
}

/// The first eight bytes, the first one lowest.
#[inline(always)]
pub fn first(call: &Call) -> u64 {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(call.place as *const u64) }.unwrap_or(0)
}

/// Copies the first bytes, at most `most` (below `DATA_LEN`), to the front of `data`.
///
/// # Safety
/// `data` has room for `DATA_LEN` bytes.
#[inline(always)]
pub unsafe fn gather(call: &Call, data: *mut u8, most: u32) -> u32 {
    let wanted = if call.total < u64::from(most) { call.total } else { u64::from(most) };
    // a mask right before the call, for old verifiers
    let size = black_box(wanted as u32) & (DATA_LEN as u32 - 1);
    // SAFETY: the size is below `DATA_LEN`.
    if unsafe { generated::bpf_probe_read_user(data.cast(), size, call.place as *const _) } != 0 {
        lose(lost::READ_FAILED, 1);
        return 0;
    }
    size
}
