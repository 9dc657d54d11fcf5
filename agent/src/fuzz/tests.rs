use std::fs;
use std::path::PathBuf;

use agent_common::cgroups::{ATTACHED, Event, MADE, REMOVED};
use agent_common::requests::line::{EVENT_ASKS, EVENT_CONNECT, EVENT_LINE, EVENT_RING, Line, MODE_PIPE};
use agent_common::requests::{
    DNS, EVENT_DATA, EVENT_END, HEAD_LEN, HTTP1, HTTP2, Header, IN, OUT, ROLE_CLIENT, ROLE_SERVER,
    TRANSPORT_TCP, TRANSPORT_UDP,
};
use agent_common::tls::PLAINTEXT;

use super::{REQUEST, decoded};

#[test]
fn the_corpus_and_changes_of_it_do_no_harm() {
    super::replay::all(&super::TARGETS);
}

fn header(socket: u64, number: u32, role: u8, direction: u8) -> Header {
    Header {
        event: EVENT_DATA,
        sequence: number,
        socket,
        born_ns: 1,
        workload: 7,
        start_ns: u64::from(number) * 1_000,
        at_ns: u64::from(number) * 1_000,
        total: 0,
        before_total: 0,
        before_ns: 0,
        local: [0, 0, 0xffff_u32.to_be(), 0x0100_000a],
        peer: [0, 0, 0xffff_u32.to_be(), 0x0200_000a],
        local_port: 40_000,
        peer_port: 80,
        tgid: 3,
        tid: 4,
        run_calls: 1,
        protocol: HTTP1,
        role,
        direction,
        transport: TRANSPORT_TCP,
        head_len: 0,
        head: [0; HEAD_LEN],
        data_len: 0,
        flags: 0,
        task: 0xc000_0001_2340,
    }
}

/// The record as it lies in the ring, and room up to the next one.
fn record(header: Header, data: &[u8]) -> Vec<u8> {
    let Header { local, peer, head, .. } = header;
    let words = |words: [u32; 4]| words.map(u32::to_ne_bytes).concat();
    let total = header.total.max(data.len() as u64);
    let parts = [
        header.event.to_ne_bytes().to_vec(),
        header.sequence.to_ne_bytes().to_vec(),
        [header.socket, header.born_ns, header.workload, header.start_ns, header.at_ns, total]
            .map(u64::to_ne_bytes)
            .concat(),
        [header.before_total, header.before_ns].map(u64::to_ne_bytes).concat(),
        words(local),
        words(peer),
        [header.local_port, header.peer_port].map(u16::to_ne_bytes).concat(),
        [header.tgid, header.tid, header.run_calls].map(u32::to_ne_bytes).concat(),
        vec![header.protocol, header.role, header.direction, header.transport],
        header.head_len.to_ne_bytes().to_vec(),
        head.to_vec(),
        [data.len() as u32, header.flags].map(u32::to_ne_bytes).concat(),
        header.task.to_ne_bytes().to_vec(),
    ];
    let mut bytes = parts.concat();
    assert_eq!(bytes.len(), size_of::<Header>(), "every field is written");
    bytes.extend_from_slice(data);
    bytes.resize(REQUEST, 0);
    bytes
}

fn elsewhere(event: u32, socket: u64, position: u64, at_ns: u64, data: &[u8]) -> Vec<u8> {
    let line = Line {
        event,
        mode: if event == EVENT_LINE { MODE_PIPE } else { 0 },
        inode: socket,
        position,
        total: data.len() as u64,
        // of goroutines the place of their struct
        workload: if event == EVENT_ASKS { position } else { 7 },
        start_ns: at_ns,
        at_ns,
        device: 0,
        tgid: 3,
        tid: 4,
        data_len: data.len() as u32,
    };
    let parts = [
        [line.event, line.mode].map(u32::to_ne_bytes).concat(),
        [line.inode, line.position, line.total, line.workload, line.start_ns, line.at_ns]
            .map(u64::to_ne_bytes)
            .concat(),
        [line.device, line.tgid, line.tid, line.data_len].map(u32::to_ne_bytes).concat(),
    ];
    let mut bytes = parts.concat();
    assert_eq!(bytes.len(), size_of::<Line>(), "every field is written");
    bytes.extend_from_slice(data);
    bytes.resize(REQUEST, 0);
    bytes
}

const GET: &[u8] = b"GET /a HTTP/1.1\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A record of the identity ring; its first byte is how many names the node's root has, too.
fn cgroup(kind: u32, path: &str) -> Vec<u8> {
    let length = path.len() as u32 + 1;
    let mut bytes = [&kind.to_ne_bytes()[..], &length.to_ne_bytes(), &42_u64.to_ne_bytes()].concat();
    bytes.extend_from_slice(path.as_bytes());
    bytes.resize(size_of::<Event>(), 0);
    bytes
}

/// Entries of the corpus that are records of rings, by their names, which begin with the number that chooses the decoder.
fn entries() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let client = |number, direction| header(1, number, ROLE_CLIENT, direction);
    let server = |number, direction| header(2, number, ROLE_SERVER, direction);
    let end = |header: Header| record(Header { event: EVENT_END, ..header }, b"");
    let exchange = vec![
        record(client(1, OUT), GET),
        record(client(2, IN), OK),
        record(Header { run_calls: 2, before_total: 37, ..client(3, IN) }, b"more"),
        end(client(4, IN)),
    ];
    let lost = vec![
        record(server(1, IN), GET),
        record(server(4, OUT), OK),
        record(
            Header { total: 70_000, ..server(5, IN) },
            b"POST /b HTTP/1.1\r\nContent-Length: 70000\r\n\r\n",
        ),
        record(server(6, OUT), b"HTTP/1.1 100 Continue\r\n\r\n"),
        record(server(7, IN), b"of a body"),
        end(server(8, IN)),
    ];
    let plaintext = |header: Header| Header { socket: header.socket | PLAINTEXT, ..header };
    let goroutine = vec![
        record(plaintext(server(1, IN)), GET),
        elsewhere(EVENT_CONNECT, 1, 0, 1_100, b""),
        elsewhere(EVENT_ASKS, 1, 0xc000_0001_2340, 1_200, b""),
        record(plaintext(client(2, OUT)), GET),
        record(plaintext(client(3, IN)), OK),
        elsewhere(EVENT_LINE, 9, 0, 3_100, b"served it\n"),
        elsewhere(EVENT_RING, 0, 0, 3_200, b""),
        record(plaintext(server(4, OUT)), OK),
    ];
    let question = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x01\0\x01";
    let mut answer = *question;
    answer[2] |= 0x80;
    let datagram = |direction| Header {
        protocol: DNS,
        transport: TRANSPORT_UDP,
        peer_port: 53,
        ..header(3, 0, ROLE_CLIENT, direction)
    };
    let datagrams = vec![record(datagram(OUT), question), record(datagram(IN), &answer)];
    let streams = |number, direction| Header { protocol: HTTP2, ..header(4, number, ROLE_CLIENT, direction) };
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let frames = vec![
        record(streams(1, OUT), preface),
        // GET, http, /, and an answer of 200
        record(streams(2, OUT), b"\0\0\x03\x01\x05\0\0\0\x01\x82\x86\x84"),
        record(streams(3, IN), b"\0\0\x01\x01\x05\0\0\0\x01\x88"),
    ];
    vec![
        ("1-made", vec![cgroup(MADE, "/node/kubepods.slice")]),
        ("1-removed", vec![cgroup(REMOVED, "")]),
        ("1-attached", vec![cgroup(ATTACHED, "/lab/node/slice/x")]),
        ("6-exchange", exchange),
        ("6-lost", lost),
        ("6-goroutine", goroutine),
        ("6-datagrams", datagrams),
        ("6-streams", frames),
    ]
}

fn corpus() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/kernel_records"))
}

/// With `WAKE_WRITE_CORPUS` they are written anew, as when a struct has grown.
#[test]
fn records_of_rings_in_the_corpus_are_of_todays_layout() {
    for (name, records) in entries() {
        let kind = name.bytes().next().unwrap() - b'0';
        let bytes = [&[kind][..], &records.concat()].concat();
        if std::env::var_os("WAKE_WRITE_CORPUS").is_some() {
            fs::write(corpus().join(name), &bytes).unwrap();
        }
        assert!(
            fs::read(corpus().join(name)).unwrap() == bytes,
            "{name}: write it anew with WAKE_WRITE_CORPUS=1"
        );
        assert_eq!(decoded(&bytes), records.len(), "{name}");
    }
}

#[test]
fn the_corpus_reaches_every_decoder_of_the_kernels_records() {
    let mut found = [0; 8];
    for file in fs::read_dir(corpus()).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        found[usize::from(bytes[0] % 8)] += decoded(&bytes);
    }
    let least = [3, 3, 3, 3, 3, 3, 23, 3];
    assert!(found.iter().zip(least).all(|(found, least)| *found >= least), "{found:?}, at least {least:?}");
}
