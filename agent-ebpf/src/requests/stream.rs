//! What a call on a TCP connection means for its runs, and whether its bytes are told.

use agent_common::lost;
use agent_common::requests::infer::is_tls;
use agent_common::requests::message::begins;
use agent_common::requests::{
    Conn, DATA_LEN, HEAD_LEN, HTTP1, HTTP2, IN, LONG_RUN, OPAQUE, REDIS, REQUEST_LEN, RESPONSE_LEN,
    ROLE_SERVER, ROLE_UNKNOWN, RUN_CALLS, Record, TLS, TRIES, UNKNOWN, is_closed_book, is_request, is_stream,
    lane,
};
use agent_ebpf::lost::lose;
use agent_ebpf::memory::hide;
use core::ptr::read_volatile;

use crate::call::{Call, ELSEWHERE, MESSAGES, first, gather};
use crate::{conn, frames, line, out, times};

/// What is left to do of a call.
#[derive(PartialEq, Eq)]
pub enum Then {
    Nothing,
    /// What is spoken must be found out, from what is in the scratch now.
    Understand,
    /// Its frames are to be told; the header is in the scratch.
    Frames,
}

/// Takes a call on a connection.
///
/// # Safety
/// `conn` is a value of the table.
#[inline(always)]
pub unsafe fn seen(conn: *mut Conn, call: &Call) -> Then {
    // SAFETY: the caller's, for all that follows.
    unsafe {
        conn::meet(call.socket, conn, (call.ids >> 32) as u32);
        if is_closed_book((*conn).protocol) {
            return Then::Nothing;
        }
        // several messages in one call are for datagrams
        if call.shape == MESSAGES {
            pass_over(conn, call);
            return Then::Nothing;
        }
        let Some(record) = out::scratch() else { return Then::Nothing };
        let header = &raw mut (*record).header;
        let (start_ns, at_ns) = times(call.direction, call.ids as u32);
        (*header).start_ns = start_ns;
        (*header).at_ns = at_ns;
        (*header).total = call.total;
        (*header).tid = call.ids as u32;
        (*header).task = call.task;
        (*header).before_total = (*conn).run_total;
        (*header).before_ns = (*conn).run_last_ns;
        if (*conn).run_direction != call.direction && !turn(conn, call.direction) {
            return Then::Nothing;
        }
        (*conn).run_calls = (*conn).run_calls.wrapping_add(1);
        (*conn).run_total = (*conn).run_total.wrapping_add(call.total);
        (*conn).run_last_ns = start_ns;
        (*header).flags = 0;
        if (*conn).protocol == HTTP2 {
            (*header).head_len = 0;
            return Then::Frames;
        }
        if (*conn).protocol == HTTP1 && (*conn).run_calls > 1 && begins(first(call), call.total) {
            (*conn).run_told = 0;
            (*conn).message_calls = 0;
        }
        (*conn).message_calls = (*conn).message_calls.saturating_add(1);
        let most = most(conn, call);
        if most == 0 {
            return Then::Nothing;
        }
        let data = (&raw mut (*record).data).cast::<u8>();
        let is_elsewhere = call.shape == ELSEWHERE || call.is_discarded != 0;
        let length = if is_elsewhere { 0 } else { gather(call, data, most) };
        (*header).data_len = length;
        (*header).head_len = (*conn).head_len;
        (*header).head = (*conn).head;
        if (*conn).protocol == UNKNOWN {
            return Then::Understand;
        }
        if is_tls(&first_bytes(record), length, hide) {
            (*conn).protocol = TLS;
        }
        tell(conn, record, call);
        Then::Nothing
    }
}

/// The messages of a call are not looked at. Where it is known what is spoken that is as a record that was lost, so that
/// what is open on the connection is not taken for whole; else they may be of nothing that is missing.
#[inline(always)]
unsafe fn pass_over(conn: *mut Conn, call: &Call) {
    // SAFETY: the caller's.
    unsafe {
        frames::miss(conn, call.direction);
        if (*conn).protocol == UNKNOWN {
            return;
        }
        lose(lost::UNREAD, call.total);
        if (*conn).run_direction != call.direction {
            turn(conn, call.direction);
        }
        (*conn).run_calls = (*conn).run_calls.wrapping_add(1);
        number(conn, call.direction);
    }
}

/// The number of the next record.
#[inline(always)]
unsafe fn number(conn: *mut Conn, direction: u8) -> u32 {
    // SAFETY: the caller's.
    unsafe {
        let lane = (&raw mut (*conn).sequences).cast::<u32>().add(lane((*conn).protocol, direction));
        let sequence = (*lane).wrapping_add(1);
        *lane = sequence;
        sequence
    }
}

/// Another run begins. False: of a connection that is given up with it.
#[inline(always)]
unsafe fn turn(conn: *mut Conn, direction: u8) -> bool {
    // SAFETY: the caller's.
    unsafe {
        (*conn).run_direction = direction;
        (*conn).is_after_long = ((*conn).run_total >= LONG_RUN) as u8;
        (*conn).message_calls = 0;
        (*conn).run_total = 0;
        (*conn).run_calls = 0;
        (*conn).run_told = 0;
        (*conn).head_len = 0;
        if (*conn).protocol == UNKNOWN {
            (*conn).tries = (*conn).tries.wrapping_add(1);
            if (*conn).tries > TRIES {
                (*conn).protocol = OPAQUE;
                return false;
            }
        }
    }
    true
}

/// Sends what is in the scratch: the header but for what the connection knows, and the first bytes.
///
/// # Safety
/// `conn` is a value of the table, `record` this CPU's scratch.
#[inline(always)]
pub unsafe fn tell(conn: *mut Conn, record: *mut Record, call: &Call) {
    // SAFETY: the caller's.
    unsafe {
        if is_closed_book((*conn).protocol) {
            return out::end(call.socket, conn, &raw mut (*record).header, 0);
        }
        // another thread's call may have turned the run meanwhile
        (*record).header.direction = call.direction;
        (*conn).head_len = 0;
        (*conn).run_told = (*conn).run_told.wrapping_add((*record).header.data_len);
        (*record).header.sequence = number(conn, call.direction);
        if (*conn).role == ROLE_SERVER && call.direction == IN {
            line::serve(call.ids as u32, (*record).header.at_ns);
        }
        out::data(call.socket, conn, record);
    }
}

/// How many bytes of this call may be told; 0: it is not told at all.
#[inline(always)]
unsafe fn most(conn: *mut Conn, call: &Call) -> u32 {
    // SAFETY: the caller's.
    unsafe {
        if is_stream((*conn).protocol) {
            return DATA_LEN as u32 - 1;
        }
        if u32::from((*conn).message_calls) > RUN_CALLS {
            return 0;
        }
        let is_asking = (*conn).role == ROLE_UNKNOWN || is_request((*conn).role, call.direction);
        if (*conn).protocol == REDIS && !is_asking && (*conn).is_after_long != 0 {
            return DATA_LEN as u32 - 1;
        }
        let limit = if is_asking { REQUEST_LEN } else { RESPONSE_LEN };
        limit.saturating_sub((*conn).run_told)
    }
}

/// The first bytes that were gathered.
///
/// # Safety
/// `record` is this CPU's scratch.
#[inline(always)]
pub unsafe fn first_bytes(record: *const Record) -> [u8; HEAD_LEN] {
    // SAFETY: a record has more bytes than that.
    unsafe { read_volatile((&raw const (*record).data).cast::<[u8; HEAD_LEN]>()) }
}
