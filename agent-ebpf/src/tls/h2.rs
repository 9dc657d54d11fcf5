//! net/http's HTTP/2: which goroutine serves a stream, and for which one a stream of its client is opened, which a goroutine of
//! the stream's own does.

use agent_common::lost;
use agent_common::requests::line::{EVENT_OPENS, EVENT_SERVES};
use agent_common::tls::{READS, Session};
use agent_ebpf::lost::lose;
use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;
use aya_ebpf::programs::ProbeContext;

use crate::abi::go;
use crate::go::{CONN_DATA, Goroutine, word};
use crate::grpc::{Below, Connection, place_of_number, tell};

// Where fields are, the same in the DWARF of programs that Go 1.18 to 1.26 have made (docs/journal/2026-11-22-go-versions.md).

/// Of `http2serverConn.conn`, an interface.
const SERVER: u64 = 16;
/// Of `http2stream.id`, which `http2responseWriter.rws.stream` leads to; all three are first.
const SERVED_NUMBER: u64 = 8;
/// Of `http2ClientConn.tconn`, an interface, and of `http2clientStream.ID`; `cc` is first.
const CLIENT: u64 = 8;
const OPENED_NUMBER: u64 = 40;

/// Where the structs are of goroutines that ask, by their numbers. Who has asked stays until room is needed.
#[map]
static GO_ASKING: LruHashMap<Session, u64> = LruHashMap::with_max_entries(READS, 0);

/// `(*http2serverConn).runHandler` begins.
#[inline(always)]
pub fn serves(context: &ProbeContext, ids: u64) {
    let stream = word(go::second(context)).and_then(word);
    let connection = word(go::first(context).wrapping_add(SERVER + CONN_DATA));
    let (Some(stream), Some(connection)) = (stream, connection) else {
        return lose(lost::READ_FAILED, 1);
    };
    let place = go::goroutine(context);
    let Some(number) = place_of_number(place).and_then(word) else { return lose(lost::READ_FAILED, 1) };
    let connection = Connection { place: connection, below: Below::Tls };
    tell(ids, EVENT_SERVES, connection, Goroutine { number, place }, stream.wrapping_add(SERVED_NUMBER));
}

/// `(*http2ClientConn).roundTrip` begins, on the goroutine that asks.
#[inline(always)]
pub fn asks(context: &ProbeContext, tgid: u32) {
    let place = go::goroutine(context);
    let Some(number) = place_of_number(place).and_then(word) else { return lose(lost::READ_FAILED, 1) };
    let key = Session { place: number, tgid: u64::from(tgid) };
    if GO_ASKING.insert(&key, &place, u64::from(BPF_ANY)).is_err() {
        lose(lost::MAP_FULL, 1);
    }
}

/// `(*http2clientStream).encodeAndWriteHeaders` begins, on a goroutine that who asks has made; `parent`: from a goroutine's
/// number to that of who has made it.
#[inline(always)]
pub fn opens(context: &ProbeContext, ids: u64, parent: u64) {
    let stream = go::first(context);
    let connection = word(stream).and_then(|client| word(client.wrapping_add(CLIENT + CONN_DATA)));
    let number = place_of_number(go::goroutine(context)).and_then(|number| word(number.wrapping_add(parent)));
    let (Some(connection), Some(number)) = (connection, number) else {
        return lose(lost::READ_FAILED, 1);
    };
    let key = Session { place: number, tgid: ids >> 32 };
    let place = match GO_ASKING.get_ptr(&key) {
        // SAFETY: a map's value.
        Some(place) => unsafe { *place },
        // it asked before the programs were there
        None => return,
    };
    let connection = Connection { place: connection, below: Below::Tls };
    tell(ids, EVENT_OPENS, connection, Goroutine { number, place }, stream.wrapping_add(OPENED_NUMBER));
}
