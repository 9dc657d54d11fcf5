//! What a call on a TCP connection means for its runs, and whether its bytes are told.

use agent_common::flows::role_of_ports;
use agent_common::requests::infer::{Guess, infer, is_tls};
use agent_common::requests::{
    Conn, DATA_LEN, HEAD_LEN, OPAQUE, REQUEST_LEN, RESPONSE_LEN, ROLE_UNKNOWN, RUN_CALLS, Record, TLS, TRIES,
    UNKNOWN, is_closed_book, is_request, is_stream, role_of,
};
use agent_ebpf::memory::hide;
use aya_ebpf::Global;
use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use core::hint::black_box;
use core::ptr::read_volatile;

use crate::call::{Call, ELSEWHERE, MESSAGES, gather};
use crate::{conn, out, red, socket, times};

/// Ports of this host that clients get.
#[unsafe(no_mangle)]
static EPHEMERAL_LOW: Global<u32> = Global::new(32_768);
#[unsafe(no_mangle)]
static EPHEMERAL_HIGH: Global<u32> = Global::new(60_999);

/// # Safety
/// `conn` is a value of the table.
#[inline(always)]
pub unsafe fn seen(socket: u64, conn: *mut Conn, call: &Call, ids: u64) {
    let tgid = (ids >> 32) as u32;
    // SAFETY: the caller's, for all that follows.
    unsafe {
        conn::meet(socket, conn, tgid);
        // several messages in one call are for datagrams
        if is_closed_book((*conn).protocol) || call.shape == MESSAGES {
            return;
        }
        let (start_ns, at_ns) = times(call.direction, ids as u32);
        let is_first = (*conn).run_direction != call.direction;
        let (before_total, before_ns) = ((*conn).run_total, (*conn).run_last_ns);
        if is_first {
            (*conn).run_direction = call.direction;
            (*conn).run_total = 0;
            (*conn).run_calls = 0;
            (*conn).run_told = 0;
            (*conn).head_len = 0;
            if (*conn).protocol == UNKNOWN {
                (*conn).tries = (*conn).tries.wrapping_add(1);
                if (*conn).tries > TRIES {
                    (*conn).protocol = OPAQUE;
                    return;
                }
            }
        }
        (*conn).run_calls = (*conn).run_calls.wrapping_add(1);
        (*conn).run_total = (*conn).run_total.wrapping_add(call.total);
        (*conn).run_last_ns = at_ns;
        let most = most(conn, call);
        if most == 0 && !is_first {
            return;
        }
        let Some(record) = out::scratch() else { return };
        let data = (&raw mut (*record).data).cast::<u8>();
        let length = if call.shape == ELSEWHERE { 0 } else { gather(call, data, most) };
        let (head_len, head) = ((*conn).head_len, (*conn).head);
        if (*conn).protocol == UNKNOWN {
            understand(conn, record, call.direction, length);
            if (*conn).protocol == UNKNOWN {
                return;
            }
        } else if is_tls(&first_bytes(record), length, hide) {
            (*conn).protocol = TLS;
        }
        if is_closed_book((*conn).protocol) {
            return out::end(socket, &*conn);
        }
        (*conn).head_len = 0;
        (*conn).run_told = (*conn).run_told.wrapping_add(length);
        (*conn).sequence = (*conn).sequence.wrapping_add(1);
        red::seen(conn, record, is_first, start_ns);
        let header = &raw mut (*record).header;
        (*header).total = call.total;
        (*header).start_ns = start_ns;
        (*header).at_ns = at_ns;
        (*header).before_total = before_total;
        (*header).before_ns = before_ns;
        (*header).head_len = head_len;
        (*header).head = head;
        (*header).tid = ids as u32;
        out::data(socket, conn, record, length);
    }
}

/// How many bytes of this call may be told.
#[inline(always)]
unsafe fn most(conn: *mut Conn, call: &Call) -> u32 {
    // SAFETY: the caller's.
    unsafe {
        if is_stream((*conn).protocol) {
            return DATA_LEN as u32 - 1;
        }
        if (*conn).run_calls > RUN_CALLS {
            return 0;
        }
        let is_asking = (*conn).role == ROLE_UNKNOWN || is_request((*conn).role, call.direction);
        let limit = if is_asking { REQUEST_LEN } else { RESPONSE_LEN };
        limit.saturating_sub((*conn).run_told)
    }
}

/// The first bytes that were gathered.
#[inline(always)]
unsafe fn first_bytes(record: *const Record) -> [u8; HEAD_LEN] {
    // SAFETY: a record has more bytes than that.
    unsafe { read_volatile((&raw const (*record).data).cast::<[u8; HEAD_LEN]>()) }
}

/// Looks at the first bytes of the run, also where they came one by one.
#[inline(always)]
unsafe fn understand(conn: *mut Conn, record: *mut Record, direction: u8, length: u32) {
    // SAFETY: the caller's.
    unsafe {
        let earlier = (*conn).head_len;
        if earlier < HEAD_LEN as u32 && !append(conn, record, earlier) {
            return;
        }
        let known = earlier.wrapping_add(length);
        (*conn).head_len = if known > HEAD_LEN as u32 { HEAD_LEN as u32 } else { known };
        let guess = infer(&(*conn).head, (*conn).head_len, (*conn).run_total, hide);
        if guess.protocol() == UNKNOWN {
            if (*conn).run_calls >= RUN_CALLS {
                (*conn).tries = TRIES;
            }
            return;
        }
        (*conn).protocol = guess.protocol();
        if (*conn).role == ROLE_UNKNOWN {
            (*conn).role = side(guess, direction, (*conn).ports);
        }
    }
}

/// Puts the first bytes of this call behind what earlier ones have left: in the record, where there is room for what a
/// verifier thinks of, and from there back. A helper copies, since a loop of single bytes is many paths.
#[inline(always)]
unsafe fn append(conn: *mut Conn, record: *mut Record, earlier: u32) -> bool {
    // SAFETY: the caller's; all of it lies inside the record.
    unsafe {
        let head = &raw mut (*record).header.head;
        *head = (*conn).head;
        let to = head.cast::<u8>().add(black_box(earlier) as usize & (HEAD_LEN - 1));
        let size = black_box(HEAD_LEN as u32 - earlier) & 31;
        let from = (&raw const (*record).data).cast::<u8>();
        if bpf_probe_read_kernel(to.cast(), size, from.cast()) != 0 {
            return false;
        }
        (*conn).head = *head;
    }
    true
}

/// Whose side a connection's owner is on that was open before: by what was said, else by the ports.
#[inline(always)]
fn side(guess: Guess, direction: u8, ports: u32) -> u8 {
    if guess.is_request() {
        role_of(direction, true)
    } else if guess.is_response() {
        role_of(direction, false)
    } else {
        let (low, high) = (EPHEMERAL_LOW.load() as u16, EPHEMERAL_HIGH.load() as u16);
        role_of_ports(socket::local_port(ports), socket::peer_port(ports), low, high)
    }
}
