//! HTTP/2: the frames of a call, told as `agent_common::requests::frames` says.
//!
//! The program goes a few hundred steps and calls itself for more. All that it knows is in a map, so that to a verifier each
//! step is like every other.

use agent_common::lost;
use agent_common::requests::frames::{FRAME_HEAD, GUESSED, LOST, SURE, Walk, judge};
use agent_common::requests::{
    Conn, DATA_LEN, FLAG_BEGINS, FLAG_CUT, FLAG_FRAMES, Header, IN, ROLE_SERVER, Record,
};
use agent_ebpf::lost::lose;
use aya_ebpf::helpers::bpf_probe_read_user;
use aya_ebpf::helpers::generated;
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use core::hint::black_box;
use core::ptr::{read_volatile, write_volatile};

use crate::call::{Call, ELSEWHERE, buffers, gather};
use crate::{line, stream};

/// Steps of one program: a frame that is told whole takes two, another one, and so does a buffer.
const STEPS: u32 = 8;
/// Programs of one call: the kernel allows 33 in a row, with those before the first.
const ROUNDS: u32 = 28;
/// Buffers of a vector that are looked at.
const MOST_BUFFERS: u64 = 1_024;
const MOST: u32 = DATA_LEN as u32 - 1;

/// The call under way.
#[derive(Clone, Copy)]
#[repr(C)]
struct Way {
    /// The next buffer in the vector, and how many are left.
    vector: u64,
    count: u64,
    /// Bytes of the call behind the buffer.
    rest: u64,
    /// The buffer, and bytes of it that are left.
    base: u64,
    left: u64,
    /// Of the frame under way.
    frame_left: u32,
    is_told: u32,
    /// Bytes of `head`
    have: u32,
    /// As `Walk.step`
    step: u32,
    /// Bytes to be told
    at: u32,
    rounds: u32,
    /// Not 0: no frame was found yet, and all of the call is here.
    is_fresh: u32,
    is_new: u32,
    /// 0: the program is the call's first.
    is_begun: u64,
    /// Room for what a verifier thinks of.
    head: [u8; 32],
}

#[map]
static WAY: PerCpuArray<Way> = PerCpuArray::with_max_entries(1, 0);

/// How a step, or a program, has ended.
const ON: u32 = 0;
const DONE: u32 = 1;
/// The record is full.
const FULL: u32 = 2;
/// No frame is where one must be.
const BROKEN: u32 = 3;
/// Memory that cannot be read.
const FAILED: u32 = 4;

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
pub unsafe fn seen(conn: *mut Conn, record: *mut Record, call: &Call) -> bool {
    let Some(way) = WAY.get_ptr_mut(0) else { return false };
    // SAFETY: the caller's, for all that follows; the way is this CPU's own.
    unsafe {
        let walk = (&raw mut (*conn).walks).cast::<Walk>().add(usize::from(call.direction != IN));
        if read_volatile(&raw const (*way).is_begun) == 0 {
            begin(way, walk, call);
        }
        let data = (&raw mut (*record).data).cast::<u8>();
        let mut end = ON;
        let mut step = 0_u32;
        while step < STEPS {
            end = one(way, data);
            if end != ON {
                break;
            }
            step += 1;
        }
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

/// What the program was to be called for once more is not done: it is not there.
///
/// # Safety
/// As `seen`.
#[inline(always)]
pub unsafe fn give_up(conn: *mut Conn, call: &Call) {
    lose(lost::BUDGET, 1);
    // SAFETY: the caller's.
    unsafe {
        let walk = (&raw mut (*conn).walks).cast::<Walk>().add(usize::from(call.direction != IN));
        (*walk).step = LOST;
    }
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

/// A step: to the next buffer, over what is left of a frame, or over a head.
#[inline(always)]
unsafe fn one(way: *mut Way, data: *mut u8) -> u32 {
    // SAFETY: the caller's.
    unsafe {
        let left = read_volatile(&raw const (*way).left);
        if left == 0 {
            return buffer(way);
        }
        let base = read_volatile(&raw const (*way).base);
        let at = read_volatile(&raw const (*way).at);
        let room = MOST.wrapping_sub(at);
        let frame_left = u64::from(read_volatile(&raw const (*way).frame_left));
        let mut used = if frame_left < left { frame_left } else { left };
        if used != 0 {
            if read_volatile(&raw const (*way).is_told) != 0 {
                if room == 0 {
                    return FULL;
                }
                used = if used < u64::from(room) { used } else { u64::from(room) };
                if !copy(data, at, base, used as u32) {
                    return FAILED;
                }
                write_volatile(&raw mut (*way).at, at.wrapping_add(used as u32));
            }
            write_volatile(&raw mut (*way).frame_left, (frame_left - used) as u32);
        } else {
            // what is to be told of a head has room before it is read
            if room < FRAME_HEAD {
                return FULL;
            }
            let have = read_volatile(&raw const (*way).have);
            let lacks = u64::from(FRAME_HEAD.wrapping_sub(have));
            used = if lacks < left { lacks } else { left };
            let head = (&raw mut (*way).head).cast::<u8>();
            let (place, size) = (black_box(have) & 15, black_box(used as u32) & 15);
            let place = head.add(place as usize).cast();
            if generated::bpf_probe_read_user(place, size, base as *const _) != 0 {
                return FAILED;
            }
            let have = have.wrapping_add(used as u32);
            write_volatile(&raw mut (*way).have, have);
            if have >= FRAME_HEAD {
                if !head_read(way, data, at) {
                    return BROKEN;
                }
                used += passed(way, left - used);
            }
        }
        write_volatile(&raw mut (*way).base, base.wrapping_add(used));
        write_volatile(&raw mut (*way).left, left.wrapping_sub(used));
    }
    ON
}

/// The next buffer, up to which all was read.
#[inline(always)]
unsafe fn buffer(way: *mut Way) -> u32 {
    // SAFETY: the caller's.
    unsafe {
        let rest = read_volatile(&raw const (*way).rest);
        if rest == 0 {
            return DONE;
        }
        let count = read_volatile(&raw const (*way).count);
        if count == 0 {
            return FAILED;
        }
        let vector = read_volatile(&raw const (*way).vector);
        let Ok([base, length]) = bpf_probe_read_user(vector as *const [u64; 2]) else { return FAILED };
        let used = if length < rest { length } else { rest };
        write_volatile(&raw mut (*way).base, base);
        write_volatile(&raw mut (*way).left, used);
        write_volatile(&raw mut (*way).rest, rest - used);
        write_volatile(&raw mut (*way).count, count - 1);
        write_volatile(&raw mut (*way).vector, vector.wrapping_add(16));
    }
    ON
}

/// A head is there. False: it is none.
#[inline(always)]
unsafe fn head_read(way: *mut Way, data: *mut u8, at: u32) -> bool {
    // SAFETY: the caller's.
    unsafe {
        let head = (&raw const (*way).head).cast::<u8>();
        let first = u64::from_be(read_volatile(head.cast::<u64>()));
        let last = read_volatile(head.add(8));
        let verdict = judge(first, last, read_volatile(&raw const (*way).step) == u32::from(SURE));
        if !verdict.is_head() {
            return false;
        }
        if verdict.is_told() {
            let to = data.add((black_box(at) & MOST) as usize);
            _ = generated::bpf_probe_read_kernel(to.cast(), FRAME_HEAD, head.cast());
            write_volatile(&raw mut (*way).at, at.wrapping_add(FRAME_HEAD));
        }
        write_volatile(&raw mut (*way).is_told, verdict.is_whole() as u32);
        write_volatile(&raw mut (*way).frame_left, verdict.length());
        write_volatile(&raw mut (*way).have, 0);
        write_volatile(&raw mut (*way).step, u32::from(SURE));
        write_volatile(&raw mut (*way).is_fresh, 0);
    }
    true
}

/// Bytes of the frame that has begun that nobody wants, among `left` of them.
#[inline(always)]
unsafe fn passed(way: *mut Way, left: u64) -> u64 {
    // SAFETY: the caller's.
    unsafe {
        if read_volatile(&raw const (*way).is_told) != 0 {
            return 0;
        }
        let frame_left = u64::from(read_volatile(&raw const (*way).frame_left));
        let used = if frame_left < left { frame_left } else { left };
        write_volatile(&raw mut (*way).frame_left, (frame_left - used) as u32);
        used
    }
}

#[inline(always)]
unsafe fn copy(data: *mut u8, at: u32, source: u64, length: u32) -> bool {
    // masks right before the call, for old verifiers
    let (place, size) = (black_box(at) & MOST, black_box(length) & MOST);
    // SAFETY: `place` and `size` are below `DATA_LEN`, and `data` has room for twice that.
    unsafe { generated::bpf_probe_read_user(data.add(place as usize).cast(), size, source as *const _) == 0 }
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
