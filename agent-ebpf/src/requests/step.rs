//! A step over the frames of a call, and how a program goes many of them.

use agent_common::requests::DATA_LEN;
use agent_common::requests::frames::{FRAME_HEAD, SURE, judge};
use aya_ebpf::helpers::bpf_probe_read_user;
use aya_ebpf::helpers::generated;
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use core::ffi::c_void;
use core::hint::black_box;
use core::ptr::{null_mut, read_volatile, write_volatile};

use crate::out;

/// Steps of one program: a frame that is told whole takes two, another one, and so does a buffer.
const STEPS: u32 = 8;
/// The same where the kernel makes the loop: about as many as fill a record, since all of a call is gone over at once.
const LOOPED_STEPS: u32 = 512;
/// Bytes of a record that are used.
pub const MOST: u32 = DATA_LEN as u32 - 1;

/// The call under way.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Way {
    /// The next buffer in the vector, and how many are left.
    pub vector: u64,
    pub count: u64,
    /// Bytes of the call behind the buffer.
    pub rest: u64,
    /// The buffer, and bytes of it that are left.
    pub base: u64,
    pub left: u64,
    /// Of the frame under way.
    pub frame_left: u32,
    pub is_told: u32,
    /// Bytes of `head`
    pub have: u32,
    /// As `Walk.step`
    pub step: u32,
    /// Bytes to be told
    pub at: u32,
    pub rounds: u32,
    /// Not 0: no frame was found yet, and all of the call is here.
    pub is_fresh: u32,
    pub is_new: u32,
    /// 0: the program is the call's first.
    pub is_begun: u32,
    /// How the last step has ended, for a loop that the kernel makes.
    pub end: u32,
    /// Room for what a verifier thinks of.
    pub head: [u8; 32],
}

#[map]
pub static WAY: PerCpuArray<Way> = PerCpuArray::with_max_entries(1, 0);

/// How a step, or a program, has ended.
pub const ON: u32 = 0;
pub const DONE: u32 = 1;
/// The record is full.
pub const FULL: u32 = 2;
/// No frame is where one must be.
const BROKEN: u32 = 3;
/// Memory that cannot be read.
pub const FAILED: u32 = 4;

/// How a program goes its steps.
pub trait Steps {
    /// Until one has not ended with `ON`; answers how the last one has ended.
    ///
    /// # Safety
    /// `way` is this CPU's own, `data` the bytes of its scratch.
    unsafe fn go(way: *mut Way, data: *mut u8) -> u32;
}

/// By itself.
pub struct Unrolled;

impl Steps for Unrolled {
    #[inline(always)]
    unsafe fn go(way: *mut Way, data: *mut u8) -> u32 {
        let mut step = 0_u32;
        let mut end = ON;
        while step < STEPS {
            // SAFETY: the caller's.
            end = unsafe { one(way, data) };
            if end != ON {
                break;
            }
            step += 1;
        }
        end
    }
}

/// By the kernel's helper.
pub struct Looped;

impl Steps for Looped {
    #[inline(always)]
    unsafe fn go(way: *mut Way, _: *mut u8) -> u32 {
        // SAFETY: the callback is one, and needs nothing of the caller; the way is this CPU's own.
        unsafe {
            write_volatile(&raw mut (*way).end, ON);
            generated::bpf_loop(LOOPED_STEPS, step as *mut c_void, null_mut(), 0);
            read_volatile(&raw const (*way).end)
        }
    }
}

/// A step, as the helper calls it. 1: it is the last.
extern "C" fn step(_: u64, _: *mut c_void) -> u64 {
    let (Some(way), Some(record)) = (WAY.get_ptr_mut(0), out::scratch()) else { return 1 };
    // SAFETY: both are this CPU's own.
    unsafe {
        let end = one(way, (&raw mut (*record).data).cast::<u8>());
        write_volatile(&raw mut (*way).end, end);
        u64::from(end != ON)
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
