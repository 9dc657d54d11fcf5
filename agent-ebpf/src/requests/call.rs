//! Which syscalls carry bytes of connections, and where in the caller's memory they lie.

use agent_common::lost;
use agent_common::requests::{DATA_LEN, IN, OUT};
use agent_ebpf::lost::lose;
use aya_ebpf::helpers::bpf_probe_read_user;
use aya_ebpf::helpers::generated;
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use core::hint::black_box;
use core::ptr::{read_volatile, write_volatile};

/// A buffer.
pub const PLAIN: u8 = 1;
/// A vector of buffers.
pub const VECTOR: u8 = 2;
/// A `msghdr`.
pub const MESSAGE: u8 = 3;
/// A vector of `mmsghdr`.
pub const MESSAGES: u8 = 4;
/// Not in the caller's memory: the kernel moves the bytes itself.
pub const ELSEWHERE: u8 = 5;

/// How far a vector was copied. In a map, since a verifier that knows every length follows every combination of them.
#[derive(Clone, Copy)]
#[repr(C)]
struct Progress {
    left: u64,
    at: u32,
    padding: u32,
}

#[map]
static PROGRESS: PerCpuArray<Progress> = PerCpuArray::with_max_entries(1, 0);
/// The call under way.
#[map]
static CALL: PerCpuArray<Call> = PerCpuArray::with_max_entries(1, 0);

/// Buffers of a vector that are looked at.
const MOST_BUFFERS: u64 = 4;

/// A call that has carried bytes.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Call {
    pub descriptor: u32,
    /// `IN` or `OUT`
    pub direction: u8,
    /// `PLAIN`, ...
    pub shape: u8,
    /// Not 0: what was carried is not, or not all of it, where the caller wanted it (`MSG_TRUNC`).
    pub is_discarded: u8,
    /// Of `MESSAGES`, not 0: one of those that were looked at is of DNS.
    pub is_dns: u8,
    /// Where the buffer, vector or message is.
    pub place: u64,
    /// How many buffers a vector has.
    pub count: u64,
    /// Bytes carried; of `MESSAGES` how many messages.
    pub total: u64,
    /// Where the other end's address is, if the call itself says it.
    pub name: u64,
    /// The socket.
    pub socket: u64,
    /// Process and thread.
    pub ids: u64,
    /// As `Header.task`.
    pub task: u64,
    /// Of `MESSAGES`, how many were looked at.
    pub taken: u64,
}

/// x86-64: numbers, and where `pt_regs` keeps arguments (ptrace's ABI).
#[cfg(bpf_target_arch = "x86_64")]
mod abi {
    pub const READ: u32 = 0;
    pub const WRITE: u32 = 1;
    pub const READV: u32 = 19;
    pub const WRITEV: u32 = 20;
    pub const SENDFILE: u32 = 40;
    pub const SENDTO: u32 = 44;
    pub const RECVFROM: u32 = 45;
    pub const SENDMSG: u32 = 46;
    pub const RECVMSG: u32 = 47;
    pub const SPLICE: u32 = 275;
    pub const RECVMMSG: u32 = 299;
    pub const SENDMMSG: u32 = 307;

    pub const POLL: u32 = 7;
    pub const SELECT: u32 = 23;
    pub const FUTEX: u32 = 202;
    pub const EPOLL_WAIT: u32 = 232;
    pub const PSELECT6: u32 = 270;
    pub const PPOLL: u32 = 271;
    pub const EPOLL_PWAIT: u32 = 281;
    pub const EPOLL_PWAIT2: u32 = 441;

    /// Where Go keeps the goroutine (1.17), also while it calls the kernel.
    pub const TASK: usize = 8;
    pub const NUMBER: usize = 120;
    pub const FIRST: usize = 112;
    pub const SECOND: usize = 104;
    pub const THIRD: usize = 96;
    pub const FOURTH: usize = 56;
    pub const FIFTH: usize = 72;
    pub const CODE_SEGMENT: usize = 136;
    pub const USER32: u64 = 0x23;
}

use abi::{
    CODE_SEGMENT, EPOLL_PWAIT, EPOLL_PWAIT2, EPOLL_WAIT, FIFTH, FIRST, FOURTH, FUTEX, NUMBER, POLL, PPOLL,
    PSELECT6, READ, READV, RECVFROM, RECVMMSG, RECVMSG, SECOND, SELECT, SENDFILE, SENDMMSG, SENDMSG, SENDTO,
    SPLICE, TASK, THIRD, USER32, WRITE, WRITEV,
};

/// Flags of a call that say that its bytes are none of the stream's next: out of band, looked at and left where they are, or
/// told of an error.
const MSG_OOB: u32 = 0x1;
const MSG_PEEK: u32 = 0x2;
const MSG_ERRQUEUE: u32 = 0x2000;
/// The bytes go, and are not copied; of a datagram the whole length is told.
const MSG_TRUNC: u32 = 0x20;

const fn bit(number: u32) -> u64 {
    1 << number
}

/// Calls with small numbers, as bits.
const WRITES: u64 = bit(WRITE) | bit(WRITEV) | bit(SENDFILE) | bit(SENDTO) | bit(SENDMSG);
const SMALL: u64 = WRITES | bit(READ) | bit(READV) | bit(RECVFROM) | bit(RECVMSG);

/// Whether a call of this number may write to a connection.
#[inline(always)]
pub fn is_write(number: u32) -> bool {
    if number < 64 { (WRITES >> number) & 1 != 0 } else { number == SENDMMSG || number == SPLICE }
}

#[inline(always)]
fn is_wanted(number: u32) -> bool {
    if number < 64 {
        (SMALL >> number) & 1 != 0
    } else {
        number == SENDMMSG || number == RECVMMSG || number == SPLICE
    }
}

#[inline(always)]
fn register(registers: *const u8, offset: usize) -> u64 {
    // SAFETY: a `pt_regs` by the verifier's own type; the offset is the ABI's.
    unsafe { read_volatile(registers.add(offset).cast::<u64>()) }
}

/// The call under way, as the first program has kept it.
#[inline(always)]
pub fn kept() -> Option<Call> {
    let kept = CALL.get_ptr(0)?;
    // SAFETY: this CPU's own value.
    Some(unsafe { read_volatile(kept) })
}

/// One more of the call's messages was looked at; answers how many that makes, and whether one of them is of DNS.
#[inline(always)]
pub fn take(is_dns: bool) -> (u64, bool) {
    let Some(kept) = CALL.get_ptr_mut(0) else { return (u64::MAX, false) };
    // SAFETY: this CPU's own value.
    unsafe {
        let taken = read_volatile(&raw const (*kept).taken) + 1;
        let any = read_volatile(&raw const (*kept).is_dns) | is_dns as u8;
        write_volatile(&raw mut (*kept).taken, taken);
        write_volatile(&raw mut (*kept).is_dns, any);
        (taken, any != 0)
    }
}

/// Whether a call has waited for something to happen. Loops ask without waiting, too (with a time limit of nothing), and
/// go on with what they have.
#[inline(always)]
pub fn is_wait(registers: *const u8) -> bool {
    match register(registers, NUMBER) as u32 {
        EPOLL_WAIT | EPOLL_PWAIT => register(registers, FOURTH) as u32 != 0,
        POLL => register(registers, THIRD) as u32 != 0,
        // FUTEX_WAIT and FUTEX_WAIT_BITSET
        FUTEX => matches!(register(registers, SECOND) & 0x7f, 0 | 9),
        SELECT | PSELECT6 | PPOLL | EPOLL_PWAIT2 => true,
        _ => false,
    }
}

/// The flags that the caller gave; those that a `msghdr` has are the kernel's answer.
#[inline(always)]
fn flags(registers: *const u8, number: u32) -> u32 {
    let place = match number {
        SENDTO | RECVFROM | SENDMMSG | RECVMMSG => FOURTH,
        SENDMSG | RECVMSG => THIRD,
        _ => return 0,
    };
    register(registers, place) as u32
}

/// Whether what a call with these flags carried is not to be taken for a message.
#[inline(always)]
fn is_aside(flags: u32, direction: u8) -> bool {
    flags & if direction == IN { MSG_OOB | MSG_PEEK | MSG_ERRQUEUE } else { MSG_OOB } != 0
}

/// Keeps the call that ends, if it is one that carries bytes; arguments stay in their registers until then.
#[inline(always)]
pub fn keep(registers: *const u8, returned: u64) -> Option<*mut Call> {
    let number = register(registers, NUMBER) as u32;
    if !is_wanted(number) || register(registers, CODE_SEGMENT) & 0xffff == USER32 {
        return None;
    }
    let direction = if is_write(number) { OUT } else { IN };
    let flags = flags(registers, number);
    if is_aside(flags, direction) {
        return None;
    }
    let shape = match number {
        READ | WRITE | SENDTO | RECVFROM => PLAIN,
        READV | WRITEV => VECTOR,
        SENDMSG | RECVMSG => MESSAGE,
        SENDMMSG | RECVMMSG => MESSAGES,
        _ => ELSEWHERE,
    };
    let descriptor = if number == SPLICE { THIRD } else { FIRST };
    let has_name = number == SENDTO || number == RECVFROM;
    let kept = CALL.get_ptr_mut(0)?;
    let call = Call {
        descriptor: register(registers, descriptor) as u32,
        direction,
        shape,
        place: register(registers, SECOND),
        count: register(registers, THIRD),
        total: returned,
        name: if has_name { register(registers, FIFTH) } else { 0 },
        is_discarded: (direction == IN && flags & MSG_TRUNC != 0) as u8,
        is_dns: 0,
        socket: 0,
        ids: 0,
        task: register(registers, TASK),
        taken: 0,
    };
    // SAFETY: this CPU's own value.
    unsafe { write_volatile(kept, call) };
    Some(kept)
}

/// The parts of a `msghdr` that matter.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Message {
    pub name: u64,
    pub name_len: u64,
    pub vector: u64,
    pub count: u64,
}

/// A `msghdr` of the caller.
#[inline(always)]
pub fn message(place: u64) -> Option<Message> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(place as *const Message) }.ok()
}

/// Where the bytes of the call are: in a buffer, or in as many as its vector has.
#[inline(always)]
pub fn buffers(call: &Call) -> (u64, u64, u64) {
    match call.shape {
        PLAIN => (call.place, 0, 0),
        VECTOR => (0, call.place, call.count),
        MESSAGE => match message(call.place) {
            Some(message) => (0, message.vector, message.count),
            None => (0, 0, 0),
        },
        _ => (0, 0, 0),
    }
}

/// The first eight bytes of the call, the first one lowest, as far as its first buffer goes; 0 where they lie elsewhere.
#[inline(always)]
pub fn first(call: &Call) -> u64 {
    match call.shape {
        PLAIN => word(call.place),
        VECTOR => word(word(call.place)),
        MESSAGE => message(call.place).map_or(0, |message| word(word(message.vector))),
        _ => 0,
    }
}

#[inline(always)]
fn word(place: u64) -> u64 {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(place as *const u64) }.unwrap_or(0)
}

/// Copies the first bytes of the call, at most `most` (below `DATA_LEN`), to the front of `data`.
///
/// # Safety
/// `data` has room for `DATA_LEN * 2` bytes.
#[inline(always)]
pub unsafe fn gather(call: &Call, data: *mut u8, most: u32) -> u32 {
    // SAFETY: the caller's.
    unsafe {
        match call.shape {
            PLAIN => copy(data, 0, call.place, call.total, most),
            VECTOR => vector(data, call.place, call.count, call.total, most),
            MESSAGE => match message(call.place) {
                Some(message) => vector(data, message.vector, message.count, call.total, most),
                None => 0,
            },
            _ => 0,
        }
    }
}

/// As `gather`, of a vector of buffers in which `total` bytes are used.
#[inline(always)]
unsafe fn vector(data: *mut u8, place: u64, count: u64, total: u64, most: u32) -> u32 {
    let Some(progress) = PROGRESS.get_ptr_mut(0) else { return 0 };
    // SAFETY: this CPU's own value, and the caller's.
    unsafe {
        write_volatile(progress, Progress { left: total, at: 0, padding: 0 });
        let mut index = 0_u64;
        while index < MOST_BUFFERS {
            let Progress { left, at, .. } = read_volatile(progress);
            if index >= count || left == 0 || at >= most {
                break;
            }
            let Ok([base, length]) = bpf_probe_read_user((place + index * 16) as *const [u64; 2]) else {
                break;
            };
            let used = if length < left { length } else { left };
            let copied = copy(data, at, base, used, most);
            write_volatile(progress, Progress { left: left - used, at: at.wrapping_add(copied), padding: 0 });
            index += 1;
        }
        (*progress).at
    }
}

/// Copies to a place of `data`, at most up to `most`; answers how much.
///
/// # Safety
/// As `gather`.
#[inline(always)]
pub unsafe fn copy(data: *mut u8, at: u32, source: u64, length: u64, most: u32) -> u32 {
    const MASK: u32 = DATA_LEN as u32 - 1;
    let room = u64::from(most.wrapping_sub(at));
    let wanted = if length < room { length } else { room };
    // masks right before the call, for old verifiers
    let (place, size) = (black_box(at) & MASK, black_box(wanted as u32) & MASK);
    // SAFETY: `place` and `size` are below `DATA_LEN`, and `data` has room for twice that.
    let failed = unsafe {
        generated::bpf_probe_read_user(data.add(place as usize).cast(), size, source as *const _) != 0
    };
    if failed {
        lose(lost::READ_FAILED, 1);
        return 0;
    }
    size
}
