//! `bpf(2)` for the map commands that aya lacks.

use std::io;
use std::os::fd::RawFd;

use agent_common::plain::Plain;

use super::{bytes_of, read};

const LOOKUP: libc::c_long = 1;
const UPDATE: libc::c_long = 2;
const DELETE: libc::c_long = 3;
const NEXT_KEY: libc::c_long = 4;
const LOOKUP_AND_DELETE: libc::c_long = 21;
const LOOKUP_BATCH: libc::c_long = 24;
const LOOKUP_AND_DELETE_BATCH: libc::c_long = 25;

/// `bpf_attr` of the element commands.
#[repr(C)]
struct Element {
    map_fd: u32,
    _pad: u32,
    key: u64,
    value_or_next: u64,
    flags: u64,
}

/// `bpf_attr` of the batch commands.
#[repr(C)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// What one batch gave.
pub(super) struct Step {
    pub(super) count: usize,
    /// The map's end was reached.
    pub(super) last: bool,
    /// Where the next batch begins.
    pub(super) next: u32,
}

/// Bytes that the kernel copies for one key: each CPU's value rounded up to 8.
pub(crate) fn size_of_values<V>(copies: usize) -> usize {
    if copies == 1 { size_of::<V>() } else { size_of::<V>().next_multiple_of(8) * copies }
}

fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<()> {
    // SAFETY: `attributes` is a `repr(C)` prefix of the kernel's `bpf_attr` of its own size; the pointers in it are
    // to buffers that its maker keeps borrowed for the call and that are as long as the command needs.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn address<T>(slice: &[T]) -> u64 {
    slice.as_ptr() as u64
}

fn element(fd: RawFd, key: &[u8], value: u64) -> Element {
    Element { map_fd: fd.cast_unsigned(), _pad: 0, key: address(key), value_or_next: value, flags: 0 }
}

/// Reads the value (all CPUs' values) of a key into `value`, which must be as long as the map's values.
pub(crate) fn lookup<K: Plain>(fd: RawFd, key: &K, value: &mut [u8]) -> io::Result<()> {
    bpf(LOOKUP, &mut element(fd, bytes_of(key), value.as_mut_ptr() as u64))
}

pub(super) fn lookup_and_delete<K: Plain>(fd: RawFd, key: &K, value: &mut [u8]) -> io::Result<()> {
    bpf(LOOKUP_AND_DELETE, &mut element(fd, bytes_of(key), value.as_mut_ptr() as u64))
}

pub(crate) fn update<K: Plain>(fd: RawFd, key: &K, value: &[u8]) -> io::Result<()> {
    bpf(UPDATE, &mut element(fd, bytes_of(key), address(value)))
}

pub(super) fn delete<K: Plain>(fd: RawFd, key: &K) -> io::Result<()> {
    bpf(DELETE, &mut element(fd, bytes_of(key), 0))
}

/// The key after this one, or the first.
pub(super) fn next_key<K: Plain>(fd: RawFd, key: Option<&K>) -> io::Result<Option<K>> {
    let mut next = vec![0_u8; size_of::<K>()];
    let mut attributes = element(fd, key.map_or(&[][..], bytes_of), next.as_mut_ptr() as u64);
    if key.is_none() {
        attributes.key = 0;
    }
    match bpf(NEXT_KEY, &mut attributes) {
        Ok(()) => Ok(Some(read(&next))),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// One batch of at most `room` entries; the buffers must hold that many.
pub(super) fn batch(
    fd: RawFd,
    delete: bool,
    position: Option<u32>,
    keys: &mut [u8],
    values: &mut [u8],
    room: usize,
) -> io::Result<Step> {
    let from = position.unwrap_or(0);
    // hash maps write four bytes here; room for the key that other types would write
    let mut next = [0_u32; 64];
    let mut attributes = Batch {
        in_batch: position.map_or(0, |_| std::ptr::from_ref(&from) as u64),
        out_batch: next.as_mut_ptr() as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: u32::try_from(room).unwrap_or(u32::MAX),
        map_fd: fd.cast_unsigned(),
        elem_flags: 0,
        flags: 0,
    };
    let command = if delete { LOOKUP_AND_DELETE_BATCH } else { LOOKUP_BATCH };
    let result = bpf(command, &mut attributes);
    let last = match result {
        Ok(()) => false,
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
        Err(error) => return Err(error),
    };
    Ok(Step { count: attributes.count as usize, last, next: next[0] })
}
