//! `bpf(2)` and `perf_event_open(2)` for programs at places of files.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

const PROG_LOAD: libc::c_long = 5;
const BTF_LOAD: libc::c_long = 18;
const MAP_FREEZE: libc::c_long = 22;
const LINK_CREATE: libc::c_long = 28;

const TYPE_KPROBE: u32 = 2;
const TRACE_UPROBE_MULTI: u32 = 48;
const MULTI_RETURN: u32 = 1;

const IOC_SET_BPF: libc::Ioctl = 0x4004_2408;
const IOC_ENABLE: libc::Ioctl = 0x2400;
const CLOEXEC: libc::c_ulong = 8;

/// `bpf_attr` of loading a program, as far as it is used.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    expected_attach_type: u32,
    btf: u32,
    function_size: u32,
    functions: u64,
    function_count: u32,
    line_size: u32,
}

/// `bpf_attr` of loading types.
#[repr(C)]
struct Types {
    types: u64,
    log: u64,
    size: u32,
    log_size: u32,
    log_level: u32,
    _pad: u32,
}

/// `bpf_attr` of a `uprobe_multi` link.
#[repr(C)]
struct Link {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    path: u64,
    offsets: u64,
    ref_counters: u64,
    cookies: u64,
    count: u32,
    multi_flags: u32,
    pid: u32,
    _pad: u32,
}

/// `bpf_attr` of freezing a map.
#[repr(C)]
struct Freeze {
    map: u32,
}

/// `perf_event_attr`, version 1.
#[repr(C)]
#[derive(Default)]
struct Event {
    kind: u32,
    size: u32,
    config: u64,
    period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup: u32,
    breakpoint: u32,
    path: u64,
    offset: u64,
}

fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: `attributes` is a `repr(C)` prefix of the kernel's `bpf_attr` of its own size; what it points to is borrowed
    // by its maker for the call, and as long as it says.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    answer(result)
}

fn answer(result: libc::c_long) -> io::Result<i32> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(io::Error::other)
}

fn owned(descriptor: i32) -> OwnedFd {
    // SAFETY: the kernel has just made it for this caller alone.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// A program as it is to be loaded.
#[derive(Debug)]
pub(super) struct Program<'a> {
    pub(super) name: &'a str,
    /// Instructions of 8 bytes each.
    pub(super) instructions: &'a [u8],
    pub(super) license: &'a CStr,
    pub(super) is_multi: bool,
    /// What its functions are, which the kernel asks for where one is a callback.
    pub(super) functions: Option<Functions<'a>>,
}

/// The functions of a program: records of `bpf_func_info`, whose types are in `types`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Functions<'a> {
    pub(super) types: BorrowedFd<'a>,
    pub(super) records: &'a [u8],
    pub(super) record_size: usize,
}

/// Loads the types of an object.
pub(super) fn types(bytes: &[u8]) -> io::Result<OwnedFd> {
    let size = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    let mut attributes =
        Types { types: bytes.as_ptr() as u64, log: 0, size, log_size: 0, log_level: 0, _pad: 0 };
    bpf(BTF_LOAD, &mut attributes).map(owned)
}

/// Loads a program; what the verifier says goes to `log`, unless that is empty.
pub(super) fn load(program: &Program<'_>, log: &mut [u8]) -> io::Result<OwnedFd> {
    let mut name = [0_u8; 16];
    let bytes = program.name.as_bytes();
    let length = bytes.len().min(name.len() - 1);
    name[..length].copy_from_slice(&bytes[..length]);
    let is_told = !log.is_empty();
    let functions = program.functions.filter(|functions| functions.record_size > 0);
    let (size, records) = functions.map_or((0, &[][..]), |all| (all.record_size, all.records));
    let mut attributes = Load {
        kind: TYPE_KPROBE,
        count: u32::try_from(program.instructions.len() / 8).map_err(io::Error::other)?,
        instructions: program.instructions.as_ptr() as u64,
        license: program.license.as_ptr() as u64,
        log_level: if is_told { 1 } else { 0 },
        log_size: u32::try_from(log.len()).map_err(io::Error::other)?,
        log: if is_told { log.as_mut_ptr() as u64 } else { 0 },
        kernel_version: 0,
        flags: 0,
        name,
        interface: 0,
        expected_attach_type: if program.is_multi { TRACE_UPROBE_MULTI } else { 0 },
        btf: functions.map_or(0, |all| all.types.as_raw_fd().cast_unsigned()),
        function_size: u32::try_from(size).map_err(io::Error::other)?,
        functions: if size > 0 { records.as_ptr() as u64 } else { 0 },
        function_count: u32::try_from(records.len().checked_div(size).unwrap_or(0))
            .map_err(io::Error::other)?,
        line_size: 0,
    };
    bpf(PROG_LOAD, &mut attributes).map(owned)
}

/// Nobody writes to this map any more, so that the verifier takes what is in it for constant.
pub(super) fn freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    bpf(MAP_FREEZE, &mut Freeze { map: map.as_raw_fd().cast_unsigned() }).map(|_| ())
}

/// Attaches a program to all of these places of a file.
pub(super) fn link(
    program: BorrowedFd<'_>,
    path: &CString,
    offsets: &[u64],
    is_return: bool,
) -> io::Result<OwnedFd> {
    let mut attributes = Link {
        program: program.as_raw_fd().cast_unsigned(),
        target: 0,
        attach_type: TRACE_UPROBE_MULTI,
        flags: 0,
        path: path.as_ptr() as u64,
        offsets: offsets.as_ptr() as u64,
        ref_counters: 0,
        cookies: 0,
        count: u32::try_from(offsets.len()).map_err(io::Error::other)?,
        multi_flags: if is_return { MULTI_RETURN } else { 0 },
        pid: 0,
        _pad: 0,
    };
    bpf(LINK_CREATE, &mut attributes).map(owned)
}

/// Attaches a program to one place of a file, by a perf event of this kind.
pub(super) fn event(
    program: BorrowedFd<'_>,
    kind: u32,
    config: u64,
    path: &CString,
    offset: u64,
) -> io::Result<OwnedFd> {
    let attributes = Event {
        kind,
        size: u32::try_from(size_of::<Event>()).map_err(io::Error::other)?,
        config,
        path: path.as_ptr() as u64,
        offset,
        ..Event::default()
    };
    // every process, and one processor to count on: the place itself is hit on all of them
    let (every, first, no_group): (libc::c_long, libc::c_long, libc::c_long) = (-1, 0, -1);
    // SAFETY: the attributes are of the size that they say; the path that they point to is borrowed for the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            std::ptr::from_ref(&attributes),
            every,
            first,
            no_group,
            CLOEXEC,
        )
    };
    let event = owned(answer(result)?);
    // SAFETY: requests of this descriptor that take a number, and none.
    unsafe {
        let set = libc::ioctl(event.as_raw_fd(), IOC_SET_BPF, program.as_raw_fd());
        answer(set.into())?;
        let enabled = libc::ioctl(event.as_raw_fd(), IOC_ENABLE, 0);
        answer(enabled.into())?;
    }
    Ok(event)
}
