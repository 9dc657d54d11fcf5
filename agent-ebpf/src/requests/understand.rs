//! What is spoken, by the first bytes of a run, also where they came one by one.

use agent_common::flows::role_of_ports;
use agent_common::requests::infer::{Guess, infer};
use agent_common::requests::{
    Conn, DATA_LEN, HEAD_LEN, HTTP2, ROLE_UNKNOWN, RUN_CALLS, Record, TLS, TRIES, UNKNOWN, role_of,
};
use agent_ebpf::memory::hide;
use aya_ebpf::Global;
use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use core::hint::black_box;

use crate::call::Call;
use crate::{socket, stream};

/// Ports of this host that clients get.
#[unsafe(no_mangle)]
static EPHEMERAL_LOW: Global<u32> = Global::new(32_768);
#[unsafe(no_mangle)]
static EPHEMERAL_HIGH: Global<u32> = Global::new(60_999);

/// True: frames of the call are to be told.
///
/// # Safety
/// `conn` is a value of the table, `record` this CPU's scratch with the first bytes of the call.
#[inline(always)]
pub unsafe fn seen(conn: *mut Conn, record: *mut Record, call: &Call) -> bool {
    // SAFETY: the caller's, for all that follows.
    unsafe {
        let earlier = (*conn).head_len;
        if earlier < HEAD_LEN as u32 && !append(conn, record, earlier) {
            return false;
        }
        let known = earlier.wrapping_add((*record).header.data_len);
        (*conn).head_len = if known > HEAD_LEN as u32 { HEAD_LEN as u32 } else { known };
        let guess = infer(&(*conn).head, (*conn).head_len, (*conn).run_total, hide);
        if guess.protocol() == UNKNOWN {
            if (*conn).run_calls >= RUN_CALLS {
                (*conn).tries = TRIES;
            }
            return false;
        }
        (*conn).protocol = guess.protocol();
        // under TLS the plaintext says it
        if (*conn).role == ROLE_UNKNOWN && guess.protocol() != TLS {
            (*conn).role = side(guess, call.direction, (*conn).ports);
        }
        // of a connection that has begun in another call, the first bytes are told first
        if (*conn).protocol == HTTP2 && earlier == 0 {
            (*conn).head_len = 0;
            return true;
        }
        stream::tell(conn, record, call);
    }
    false
}

/// Puts the first bytes of this call behind what earlier ones have left: in the half of the record that nothing is copied
/// to, where there is room for what a verifier thinks of, and from there back. A helper copies, since a loop of single
/// bytes is many paths.
#[inline(always)]
unsafe fn append(conn: *mut Conn, record: *mut Record, earlier: u32) -> bool {
    // SAFETY: the caller's; all of it lies inside the record.
    unsafe {
        let from = (&raw const (*record).data).cast::<u8>();
        let head = (&raw mut (*record).data).cast::<u8>().add(DATA_LEN);
        head.cast::<[u8; HEAD_LEN]>().write_volatile((*conn).head);
        let to = head.add(black_box(earlier) as usize & (HEAD_LEN - 1));
        let size = black_box(HEAD_LEN as u32 - earlier) & 31;
        if bpf_probe_read_kernel(to.cast(), size, from.cast()) != 0 {
            return false;
        }
        (*conn).head = head.cast::<[u8; HEAD_LEN]>().read_volatile();
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
