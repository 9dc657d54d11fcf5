//! What the kernel says of a program.

use std::os::fd::RawFd;

use aya_obj::generated::bpf_prog_info;

const OBJECT_INFO: libc::c_long = 15;

/// `bpf_attr` of asking what an object is.
#[repr(C)]
struct Ask {
    object: u32,
    length: u32,
    info: u64,
}

/// Runs of a program that were skipped since it was loaded; 0 where the kernel does not count them (before 5.12).
///
/// `/proc/self/fdinfo` says it too, but each program is a file to be opened, written by the kernel and read in pieces: for
/// some sixty of them, each window, a fifth of what an idle agent did.
pub(in crate::kernel) fn skipped_runs(program: RawFd) -> u64 {
    // SAFETY: numbers and addresses, for which zero means none.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    let mut ask = Ask {
        object: program.cast_unsigned(),
        length: u32::try_from(size_of::<bpf_prog_info>()).unwrap_or(0),
        info: std::ptr::from_mut(&mut info) as u64,
    };
    // SAFETY: `ask` is a `repr(C)` prefix of the kernel's `bpf_attr` of its own size; the kernel writes no more than `length`
    // bytes to `info`, and to none of the addresses in it, which are none.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, OBJECT_INFO, std::ptr::from_mut(&mut ask), size_of::<Ask>()) };
    if result < 0 { 0 } else { info.recursion_misses }
}
