//! HTTP/2: the frames of a call, told as `agent_common::requests::frames` says.
//!
//! The program goes some steps and calls itself for more. All that it knows is in a map, so that to a verifier each step is
//! like every other. Kernels that make loops by a helper (`bpf_loop`, 5.17) go thousands of steps, which are verified once;
//! before that each is verified by itself, so that there are few.

use agent_common::lost;
use agent_common::requests::frames::{GUESSED, LOST, Walk};
use agent_common::requests::{
    Conn, FLAG_BEGINS, FLAG_CUT, FLAG_FRAMES, FLAG_GOES_ON, Header, IN, ROLE_SERVER, Record,
};
use agent_ebpf::lost::lose;
use core::ptr::{read_volatile, write_volatile};

use crate::call::{Call, ELSEWHERE, buffers, gather};
use crate::step::{DONE, FAILED, FULL, MOST, ON, Steps, WAY, Way};
use crate::{line, stream};

/// Programs of one call: the kernel allows 33 in a row, with those before the first.
const ROUNDS: u32 = 28;
/// Buffers of a vector that are looked at.
const MOST_BUFFERS: u64 = 1_024;

/// What the program is called for next is another call.
#[inline(always)]
pub fn start() {
    if let Some(way) = WAY.get_ptr_mut(0) {
        // SAFETY: this CPU's own.
        unsafe { write_volatile(&raw mut (*way).is_begun, 0) };
    }
}

/// Takes the call, or goes on with it. True: the program is to be called once more.
///
/// # Safety
/// `conn` is a value of the table, `record` this CPU's scratch with the header of the call.
#[inline(always)]
pub unsafe fn seen<S: Steps>(conn: *mut Conn, record: *mut Record, call: &Call) -> bool {
    let Some(way) = WAY.get_ptr_mut(0) else { return false };
    // SAFETY: the caller's, for all that follows; the way is this CPU's own.
    unsafe {
        let walk = (&raw mut (*conn).walks).cast::<Walk>().add(usize::from(call.direction != IN));
        if read_volatile(&raw const (*way).is_begun) == 0 {
            begin(way, walk, call);
        }
        let end = S::go(way, (&raw mut (*record).data).cast::<u8>());
        let rounds = read_volatile(&raw const (*way).rounds);
        let is_left = (end == ON || end == FULL) && rounds < ROUNDS;
        write_volatile(&raw mut (*way).rounds, rounds + 1);
        if is_left && end == ON {
            return true;
        }
        finish(conn, walk, way, record, call, end);
        is_left
    }
}

/// A call's bytes are not seen: where the next frame begins is not known.
///
/// # Safety
/// `conn` is a value of the table.
#[inline(always)]
pub unsafe fn miss(conn: *mut Conn, direction: u8) {
    // SAFETY: the caller's.
    unsafe {
        let walk = (&raw mut (*conn).walks).cast::<Walk>().add(usize::from(direction != IN));
        (*walk).step = LOST;
    }
}

/// What the program was to be called for once more is not done: it is not there.
///
/// # Safety
/// As `seen`.
#[inline(always)]
pub unsafe fn give_up(conn: *mut Conn, call: &Call) {
    lose(lost::BUDGET, 1);
    // SAFETY: the caller's.
    unsafe { miss(conn, call.direction) };
}

#[inline(always)]
unsafe fn begin(way: *mut Way, walk: *const Walk, call: &Call) {
    // SAFETY: the caller's.
    unsafe {
        let is_lost = (*walk).step == LOST;
        let is_elsewhere = call.shape == ELSEWHERE || call.is_discarded != 0;
        let (base, vector, count) = if is_elsewhere { (0, 0, 0) } else { buffers(call) };
        let is_vector = vector != 0;
        (*way).vector = vector;
        (*way).count = if count > MOST_BUFFERS { MOST_BUFFERS } else { count };
        (*way).rest = if is_vector { call.total } else { 0 };
        (*way).base = base;
        (*way).left = if is_vector { 0 } else { call.total };
        (*way).frame_left = if is_lost { 0 } else { (*walk).left };
        (*way).is_told = u32::from((*walk).is_told);
        (*way).have = if is_lost { 0 } else { u32::from((*walk).have) };
        (*way).step = if is_lost { u32::from(GUESSED) } else { u32::from((*walk).step) };
        (*way).is_begun = 1;
        (*way).at = 0;
        (*way).rounds = 0;
        (*way).is_fresh = u32::from(is_lost);
        (*way).is_new = if is_lost { 1 } else { u32::from((*walk).is_new) };
        (&raw mut (*way).head).cast::<[u8; 8]>().write_volatile((*walk).head);
    }
}

/// Tells what was found, and keeps where the call has ended.
#[inline(always)]
unsafe fn finish(
    conn: *mut Conn,
    walk: *mut Walk,
    way: *mut Way,
    record: *mut Record,
    call: &Call,
    end: u32,
) {
    // SAFETY: the caller's.
    unsafe {
        let header = &raw mut (*record).header;
        let is_elsewhere = call.shape == ELSEWHERE || call.is_discarded != 0;
        let mut is_lost = end != DONE && end != FULL;
        if end == FAILED && !is_elsewhere {
            lose(lost::READ_FAILED, 1);
        }
        // more than all programs together can tell
        if (end == ON || end == FULL) && read_volatile(&raw const (*way).rounds) > ROUNDS {
            lose(lost::BUDGET, 1);
            is_lost = true;
        }
        let at = read_volatile(&raw const (*way).at);
        if is_lost && read_volatile(&raw const (*way).is_fresh) != 0 {
            // as what is not understood: its first bytes
            *walk = Walk::NONE;
            let data = (&raw mut (*record).data).cast::<u8>();
            (*header).flags = 0;
            (*header).data_len = if is_elsewhere { 0 } else { gather(call, data, MOST) };
            return stream::tell(conn, record, call);
        }
        let is_new = read_volatile(&raw const (*way).is_new);
        let mut flags = if is_new != 0 { FLAG_FRAMES | FLAG_BEGINS } else { FLAG_FRAMES };
        if is_lost {
            *walk = Walk::NONE;
            flags |= FLAG_CUT;
        } else {
            if end == FULL {
                flags |= FLAG_GOES_ON;
            }
            (*walk).left = read_volatile(&raw const (*way).frame_left);
            (*walk).is_told = read_volatile(&raw const (*way).is_told) as u8;
            (*walk).have = read_volatile(&raw const (*way).have) as u8;
            (*walk).step = read_volatile(&raw const (*way).step) as u8;
            (*walk).is_new = if at != 0 { 0 } else { is_new as u8 };
            (*walk).head = (&raw const (*way).head).cast::<[u8; 8]>().read_volatile();
        }
        if at == 0 && !is_lost {
            return silent(conn, header, call);
        }
        (*header).flags = flags;
        (*header).data_len = at;
        stream::tell(conn, record, call);
        // the next record of this call is one of a call without bytes
        (*header).total = 0;
        (*header).before_total = (*conn).run_total;
        if end == FULL && !is_lost {
            (*conn).run_calls = (*conn).run_calls.wrapping_add(1);
            write_volatile(&raw mut (*way).at, 0);
            write_volatile(&raw mut (*way).is_new, 0);
        }
    }
}

/// A call of which nothing is told: its thread has read all the same.
#[inline(always)]
unsafe fn silent(conn: *const Conn, header: *const Header, call: &Call) {
    // SAFETY: the caller's.
    unsafe {
        if call.direction != IN {
            return;
        }
        if (*conn).role == ROLE_SERVER {
            line::serve(call.ids as u32, (*header).at_ns);
        } else {
            _ = line::has_waited(call.ids as u32, true);
        }
    }
}
