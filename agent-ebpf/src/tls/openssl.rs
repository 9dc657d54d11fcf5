//! OpenSSL and what has its functions: from a session to its socket, and what a call has read or written.

use agent_common::lost;
use agent_common::requests::{IN, OUT};
use agent_common::tls::{Bound, HANDSHAKE, Inside, NOTHING, READ, READ_EX, SESSIONS, Session, WRITE};
use agent_ebpf::lost::lose;
use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::bpf_probe_read_user;
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;
use aya_ebpf::programs::ProbeContext;

use crate::abi::c;
use crate::{conn, inside};

/// Sessions may end without a word, so the one that was not used for the longest time goes.
#[map]
static SESSIONS_BOUND: LruHashMap<Session, Bound> = LruHashMap::with_max_entries(SESSIONS, 0);

/// A call begins.
#[inline(always)]
pub fn enter(context: &ProbeContext, tid: u32, kind: u32) {
    let Some(slot) = inside::slot(tid) else { return };
    // SAFETY: an array's value; a slot with this thread's number is written by this thread alone.
    unsafe {
        let is_known = (*slot).tid == tid;
        // the first read of a session makes its handshake
        if kind == HANDSHAKE && is_known && (*slot).kind != NOTHING {
            return;
        }
        if !is_known {
            (*slot).tid = 0;
            (*slot).recent = 0;
        }
        (*slot).kind = kind;
        (*slot).session = c::first(context);
        (*slot).buffer = c::second(context);
        (*slot).length = c::fourth(context);
        (*slot).start_ns = bpf_ktime_get_boot_ns();
        (*slot).socket = 0;
        (*slot).tid = tid;
    }
}

/// A call of those that carry plaintext ends. True: it has carried some, and the slot says what.
#[inline(always)]
pub fn leave(context: &ProbeContext, tgid: u32, tid: u32) -> bool {
    let Some(slot) = inside::slot(tid) else { return false };
    // SAFETY: as in `enter`.
    unsafe {
        if (*slot).tid != tid {
            lose(lost::SLOT_COLLISION, 1);
            return false;
        }
        let kind = (*slot).kind;
        if kind == NOTHING || kind == HANDSHAKE {
            return false;
        }
        (*slot).kind = NOTHING;
        let total = carried(slot, kind, c::result(context) as i32);
        let socket = socket(slot, tgid, tid, kind, total);
        if total == 0 {
            return false;
        }
        if socket == 0 {
            lose(lost::NO_SOCKET, 1);
            return false;
        }
        (*slot).socket = socket;
        (*slot).total = total;
        (*slot).direction = u32::from(if kind == READ || kind == READ_EX { IN } else { OUT });
        true
    }
}

/// A handshake ends, or waits: its socket is that of the session.
#[inline(always)]
pub fn shaken(tgid: u32, tid: u32) {
    let Some(slot) = inside::slot(tid) else { return };
    // SAFETY: as in `enter`.
    unsafe {
        if (*slot).tid == tid && (*slot).kind == HANDSHAKE {
            (*slot).kind = NOTHING;
            socket(slot, tgid, tid, HANDSHAKE, 0);
        }
    }
}

/// A session is no more; the next one may lie in the same memory while the socket of this one still lives.
#[inline(always)]
pub fn gone(context: &ProbeContext, tgid: u32) {
    let key = Session { place: c::first(context), tgid: u64::from(tgid) };
    // one that is not there is fine
    _ = SESSIONS_BOUND.remove(&key);
}

/// Bytes of plaintext of a call.
#[inline(always)]
unsafe fn carried(slot: *const Inside, kind: u32, result: i32) -> u64 {
    if result <= 0 {
        return 0;
    }
    if kind == READ || kind == WRITE {
        return result as u64;
    }
    // READ_EX, WRITE_EX
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user((*slot).length as *const u64) }.unwrap_or(0)
}

/// As `find`; what the thread has read last is then this session's, and says nothing of others.
#[inline(always)]
unsafe fn socket(slot: *mut Inside, tgid: u32, tid: u32, kind: u32, total: u64) -> u64 {
    // SAFETY: the caller's.
    unsafe {
        let socket = find(slot, tgid, tid, kind, total);
        if (*slot).recent == socket {
            (*slot).recent = 0;
        }
        socket
    }
}

/// The socket of the session: the one that was used inside the call, else the one that it had before; where a program
/// moves the bytes itself, the one that the thread has read before it had them decrypted. What it had read before the
/// session's first call was another's; a write or a handshake goes by what was read since, if this thread made that call, and
/// it was a read or a handshake.
#[inline(always)]
unsafe fn find(slot: *mut Inside, tgid: u32, tid: u32, kind: u32, total: u64) -> u64 {
    // SAFETY: the caller's: the thread's own slot, and values of maps.
    unsafe {
        let key = Session { place: (*slot).session, tgid: u64::from(tgid) };
        let bound = SESSIONS_BOUND.get_ptr(&key);
        let mut used = (*slot).socket;
        let mut has_begun = false;
        if let Some(bound) = bound {
            has_begun = (*bound).socket == 0 && (*bound).born_ns == u64::from(tid);
            let is_same = used == 0 || used == (*bound).socket;
            if is_same
                && let Some(known) = conn::find((*bound).socket)
                && (*known).born_ns == (*bound).born_ns
            {
                return (*bound).socket;
            }
        }
        let is_read = kind == READ || kind == READ_EX;
        let goes_on = kind == HANDSHAKE && has_begun;
        if used == 0 && total == 0 && (is_read || kind == HANDSHAKE) && !goes_on {
            (*slot).recent = 0;
            return bind(&key, 0, u64::from(tid));
        }
        if used == 0 && (goes_on || total != 0 && (is_read || has_begun)) {
            used = (*slot).recent;
        }
        let Some(known) = conn::find(used) else { return 0 };
        bind(&key, used, (*known).born_ns)
    }
}

/// Keeps a session's socket; 0: it has begun, and has none yet.
#[inline(always)]
fn bind(key: &Session, socket: u64, born_ns: u64) -> u64 {
    if SESSIONS_BOUND.insert(key, &Bound { socket, born_ns }, u64::from(BPF_ANY)).is_err() {
        lose(lost::MAP_FULL, 1);
    }
    socket
}
