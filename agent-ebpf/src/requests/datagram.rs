//! DNS over UDP: each datagram on its own, whatever the port; user space pairs questions and answers by their ids.

use agent_common::flows::mapped;
use agent_common::lost;
use agent_common::requests::infer::dns;
use agent_common::requests::{EVENT_DATA, HEAD_LEN, RESPONSE_LEN, Record, TRANSPORT_UDP, role_of};
use agent_ebpf::lost::lose;
use agent_ebpf::memory::hide;
use agent_ebpf::workload::current_workload;
use aya_ebpf::helpers::bpf_probe_read_user;
use core::ptr::read_volatile;

use crate::call::{Call, MESSAGE, MESSAGES, PLAIN, copy, message};
use crate::{call, out, socket, times};

/// Messages of one call that are looked at, by a program each: a resolver asks for both kinds of address at once.
const MOST_MESSAGES: u64 = 8;
/// Bytes of a `mmsghdr`, and where in it the length of the message is.
const MESSAGES_STRIDE: u64 = 64;
const MESSAGES_LENGTH: u64 = 56;

/// Takes the call's datagram, of several the next one. True: there is one more.
#[inline(always)]
pub fn seen(call: &Call) -> bool {
    match call.shape {
        // a datagram that was cut tells its whole length
        PLAIN => {
            one(call, Buffer { base: call.place, total: least(call.total, call.count), name: call.name });
            false
        }
        MESSAGE => {
            within(call, call.place, call.total);
            false
        }
        MESSAGES => {
            let place = call.place + call.taken * MESSAGES_STRIDE;
            // SAFETY: the helper checks the address.
            let length = unsafe { bpf_probe_read_user((place + MESSAGES_LENGTH) as *const u32) };
            let is_dns = within(call, place, u64::from(length.unwrap_or(0)));
            let (taken, is_dns) = call::take(is_dns);
            if taken < call.total && taken < MOST_MESSAGES {
                return true;
            }
            // what else goes in bulk (QUIC, media) is nothing that is missing
            if taken < call.total && is_dns {
                lose(lost::UNREAD, call.total - taken);
            }
            false
        }
        _ => false,
    }
}

/// The datagram of a `msghdr`. One of DNS is in one buffer. Answers whether it is that.
#[inline(always)]
fn within(call: &Call, place: u64, total: u64) -> bool {
    // SAFETY: the helpers check the addresses.
    if let Some(message) = message(place)
        && let Ok([base, length]) = unsafe { bpf_probe_read_user(message.vector as *const [u64; 2]) }
    {
        return one(call, Buffer { base, total: least(total, length), name: message.name });
    }
    false
}

#[inline(always)]
fn least(one: u64, other: u64) -> u64 {
    if one < other { one } else { other }
}

/// Where a datagram lies, and where the address of the other end.
struct Buffer {
    base: u64,
    total: u64,
    name: u64,
}

#[inline(always)]
fn one(call: &Call, buffer: Buffer) -> bool {
    let Some(record) = out::scratch() else { return false };
    // SAFETY: this CPU's scratch.
    unsafe {
        let data = (&raw mut (*record).data).cast::<u8>();
        let length = copy(data, 0, buffer.base, buffer.total, RESPONSE_LEN);
        let head = read_volatile(data.cast::<[u8; HEAD_LEN]>());
        let guess = dns(&head, length, buffer.total, hide);
        if guess.protocol() == 0 {
            return false;
        }
        let header = &raw mut (*record).header;
        let (start_ns, at_ns) = times(call.direction, call.ids as u32);
        (*header).start_ns = start_ns;
        (*header).at_ns = at_ns;
        (*header).protocol = guess.protocol();
        (*header).role = role_of(call.direction, guess.is_request());
        (*header).direction = call.direction;
        (*header).total = buffer.total;
        (*header).tgid = (call.ids >> 32) as u32;
        (*header).tid = call.ids as u32;
        (*header).task = call.task;
        describe(record, call.socket, buffer.name);
        out::send(record, length);
    }
    true
}

/// Between whom; the other end of a socket that is not connected stands in the call.
#[inline(always)]
unsafe fn describe(record: *mut Record, socket: u64, name: u64) {
    // SAFETY: the caller's.
    unsafe {
        let header = &raw mut (*record).header;
        let ports = socket::ports(socket);
        let (local, peer) = socket::addresses(socket);
        (*header).event = EVENT_DATA;
        (*header).sequence = 0;
        (*header).socket = socket;
        (*header).born_ns = 0;
        (*header).workload = current_workload();
        (*header).before_total = 0;
        (*header).before_ns = 0;
        (*header).local = local;
        (*header).peer = peer;
        (*header).local_port = socket::local_port(ports);
        (*header).peer_port = socket::peer_port(ports);
        (*header).run_calls = 1;
        (*header).transport = TRANSPORT_UDP;
        (*header).head_len = 0;
        (*header).head = [0; HEAD_LEN];
        (*header).flags = 0;
        if socket::peer_port(ports) == 0
            && let Some((address, port)) = named(name)
        {
            (*header).peer = address;
            (*header).peer_port = port;
        }
    }
}

/// A `sockaddr_in` or `sockaddr_in6` of the caller.
#[inline(always)]
fn named(place: u64) -> Option<([u32; 4], u16)> {
    const AF_INET: u32 = 2;
    const AF_INET6: u32 = 10;
    if place == 0 {
        return None;
    }
    // SAFETY: the helper checks the address.
    let [first, second] = unsafe { bpf_probe_read_user(place as *const [u32; 2]) }.ok()?;
    let port = u16::from_be((first >> 16) as u16);
    match first & 0xffff {
        AF_INET => Some((mapped(second), port)),
        AF_INET6 => {
            // SAFETY: as above.
            let address = unsafe { bpf_probe_read_user((place + 8) as *const [u32; 4]) }.ok()?;
            Some((address, port))
        }
        _ => None,
    }
}
