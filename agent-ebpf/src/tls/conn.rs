//! The entry of a plaintext in the table of connections, which is that of the requests object.

use agent_common::lost;
use agent_common::requests::frames::Walk;
use agent_common::requests::{Conn, HEAD_LEN, MAX_CONNS};
use agent_common::tls::PLAINTEXT;
use agent_ebpf::lost::lose;
use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;

#[map]
static CONNS: HashMap<u64, Conn> = HashMap::with_max_entries(MAX_CONNS, 0);

#[inline(always)]
pub fn find(key: u64) -> Option<*mut Conn> {
    CONNS.get_ptr_mut(&key)
}

/// The entry under this key of the plaintext; made from what is known of the socket where it is not there, or of an
/// earlier connection in the same memory.
#[inline(always)]
pub fn plaintext(key: u64) -> Option<*mut Conn> {
    let cipher = find(key & !PLAINTEXT)?;
    // SAFETY: values of the table.
    unsafe {
        if let Some(found) = find(key)
            && (*found).born_ns >= (*cipher).born_ns
            && (*found).ports == (*cipher).ports
        {
            return Some(found);
        }
        let fresh = Conn {
            born_ns: bpf_ktime_get_boot_ns(),
            workload: (*cipher).workload,
            run_total: 0,
            run_last_ns: 0,
            local: (*cipher).local,
            peer: (*cipher).peer,
            ports: (*cipher).ports,
            tgid: (*cipher).tgid,
            sequences: [0; 2],
            run_calls: 0,
            run_told: 0,
            protocol: 0,
            role: (*cipher).role,
            run_direction: 0,
            tries: 0,
            head_len: 0,
            transport: (*cipher).transport,
            is_polled: (*cipher).is_polled,
            message_calls: 0,
            is_after_long: 0,
            padding: 0,
            head: [0; HEAD_LEN],
            walks: [Walk::NONE; 2],
        };
        if CONNS.insert(&key, &fresh, u64::from(BPF_ANY)).is_err() {
            lose(lost::MAP_FULL, 1);
            return None;
        }
    }
    find(key)
}

/// Whose it is stands in the entry since it was made.
///
/// # Safety
/// None is needed; `requests` has one of its own that needs it.
#[inline(always)]
pub unsafe fn meet(_socket: u64, _conn: *mut Conn, _tgid: u32) {}
