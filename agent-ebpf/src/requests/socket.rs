//! From a descriptor of the current task to its socket, and what that socket says of itself.

use agent_common::flows::mapped;
use agent_common::requests::{TRANSPORT_TCP, TRANSPORT_UDP};
use agent_ebpf::memory::{Offset, absent, field, read};
use aya_ebpf::Global;
use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_get_current_task_btf};
use core::hint::black_box;

/// Offsets, filled in by the agent.
macro_rules! offsets {
    ($($name:ident)*) => { $(
        #[unsafe(no_mangle)]
        static $name: Offset = absent();
    )* };
}

offsets! {
    OFF_FILES OFF_FDT OFF_FD OFF_PRIVATE OFF_SOCKET_FILE OFF_SOCKET_SK OFF_FAMILY OFF_PORTS OFF_PEER_V4 OFF_LOCAL_V4
    OFF_PEER_V6 OFF_LOCAL_V6 OFF_PROTOCOL OFF_STATE OFF_RECEIVED OFF_READ
    OFF_SK_SOCKET OFF_FILE_FLAGS OFF_FILE_INODE OFF_FILE_POSITION OFF_INODE_MODE OFF_INODE_NUMBER OFF_INODE_SUPER
    OFF_SUPER_DEVICE
}

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// 1 where programs may ask for the current task by its type (5.11): then its structs are read without a helper.
#[unsafe(no_mangle)]
static TYPED_TASK: Global<u32> = Global::new(0);

/// Where the current task keeps its open files.
#[inline(always)]
fn files() -> Option<u64> {
    if TYPED_TASK.load() == 0 {
        // SAFETY: a helper without arguments.
        let task = unsafe { bpf_get_current_task() };
        return read::<u64>(read::<u64>(read::<u64>(task, &OFF_FILES)?, &OFF_FDT)?, &OFF_FD);
    }
    // SAFETY: from a pointer of which the verifier knows what it points to; a load that fails gives 0.
    unsafe {
        let task = bpf_get_current_task_btf() as *const u8;
        let files: *const u8 = field(task, &OFF_FILES);
        if files.is_null() {
            return None;
        }
        let table: *const u8 = field(files, &OFF_FDT);
        if table.is_null() { None } else { Some(field(table, &OFF_FD)) }
    }
}

/// The `struct file` behind a descriptor.
#[inline(always)]
pub fn file(descriptor: u32) -> Option<u64> {
    let place = files()?.wrapping_add(u64::from(descriptor) * 8);
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel(place as *const u64) }.ok()
}

/// The `struct sock` behind a descriptor; `None` where it is no socket's.
///
/// What is no socket has other data in the place of `socket.file`, and does not point back to its own file.
#[inline(always)]
pub fn of_descriptor(descriptor: u32) -> Option<u64> {
    let file = file(descriptor)?;
    let private = read::<u64>(file, &OFF_PRIVATE)?;
    let (back, socket) = if OFF_SOCKET_SK.load() == OFF_SOCKET_FILE.load().wrapping_add(8) {
        let [back, socket] = read::<[u64; 2]>(private, &OFF_SOCKET_FILE)?;
        (back, socket)
    } else {
        (read::<u64>(private, &OFF_SOCKET_FILE)?, read::<u64>(private, &OFF_SOCKET_SK)?)
    };
    if file == 0 || back != file || socket == 0 { None } else { Some(socket) }
}

/// Whether nobody waits inside a call on this socket.
#[inline(always)]
pub fn is_polled(socket: u64) -> bool {
    const O_NONBLOCK: u32 = 0o4000;
    let file = read::<u64>(socket, &OFF_SK_SOCKET).and_then(|socket| read::<u64>(socket, &OFF_SOCKET_FILE));
    let flags = file.and_then(|file| read::<u32>(file, &OFF_FILE_FLAGS));
    matches!(flags, Some(flags) if flags & O_NONBLOCK != 0)
}

/// What something is written to.
#[derive(Clone, Copy)]
pub struct Place {
    pub mode: u32,
    pub inode: u64,
    pub device: u32,
    pub position: u64,
}

/// The file behind a descriptor, as it is now.
#[inline(always)]
pub fn place(descriptor: u32) -> Option<Place> {
    let file = file(descriptor)?;
    let inode = read::<u64>(file, &OFF_FILE_INODE)?;
    let mode = u32::from(read::<u16>(inode, &OFF_INODE_MODE)?);
    Some(Place {
        mode,
        inode: read::<u64>(inode, &OFF_INODE_NUMBER)?,
        device: read::<u32>(read::<u64>(inode, &OFF_INODE_SUPER)?, &OFF_SUPER_DEVICE)?,
        position: read::<u64>(file, &OFF_FILE_POSITION)?,
    })
}

/// `TRANSPORT_TCP` or `TRANSPORT_UDP` of an IP socket; 0 for any other.
#[inline(always)]
pub fn transport(socket: u64) -> u8 {
    match read::<u16>(socket, &OFF_FAMILY) {
        Some(AF_INET | AF_INET6) => {}
        _ => return 0,
    }
    match read::<u16>(socket, &OFF_PROTOCOL) {
        Some(6) => TRANSPORT_TCP,
        Some(17) => TRANSPORT_UDP,
        _ => 0,
    }
}

/// Whether a TCP connection is over: what it had received may still be read, but nobody tells of its end again.
#[inline(always)]
pub fn is_closed(socket: u64) -> bool {
    const CLOSE: u8 = 7;
    read::<u8>(socket, &OFF_STATE) == Some(CLOSE)
}

/// Bytes that a TCP connection has received and nobody has read; the other end's FIN counts as one.
#[inline(always)]
pub fn unread(socket: u64) -> u32 {
    // each a number whatever was read: of two options at once a compiler keeps one on the stack that is not written on
    // every path, which verifiers before 6.3 refuse
    let received = black_box(read::<u32>(socket, &OFF_RECEIVED).unwrap_or(0));
    let taken = black_box(read::<u32>(socket, &OFF_READ).unwrap_or(received));
    received.wrapping_sub(taken)
}

/// Both ports: the peer's in network order, then the local one in host order.
#[inline(always)]
pub fn ports(socket: u64) -> u32 {
    read::<u32>(socket, &OFF_PORTS).unwrap_or(0)
}

/// Of `ports`, in host order.
#[inline(always)]
pub fn peer_port(ports: u32) -> u16 {
    u16::from_be(ports as u16)
}

/// Of `ports`.
#[inline(always)]
pub fn local_port(ports: u32) -> u16 {
    (ports >> 16) as u16
}

/// Local and peer address.
#[inline(always)]
pub fn addresses(socket: u64) -> ([u32; 4], [u32; 4]) {
    if read::<u16>(socket, &OFF_FAMILY) == Some(AF_INET6) {
        let local = read::<[u32; 4]>(socket, &OFF_LOCAL_V6).unwrap_or([0; 4]);
        return (local, read::<[u32; 4]>(socket, &OFF_PEER_V6).unwrap_or([0; 4]));
    }
    let v4 = |offset| read::<u32>(socket, offset).filter(|address| *address != 0).map_or([0; 4], mapped);
    (v4(&OFF_LOCAL_V4), v4(&OFF_PEER_V4))
}
