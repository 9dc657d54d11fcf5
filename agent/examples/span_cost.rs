//! What the agent does for a span, for whoever counts instructions (docs/develop.md): made records of 8 kept connections, both
//! ends of each, requests of HTTP/1 and answers of 1 KiB, go through the stages as far as the bytes of OTLP requests.
//!
//! No kernel, no disk, no network, and the same records each time. Each stage is a function of its own, which is not inlined:
//! `callgrind_annotate --inclusive=yes` names what it took. With `others` behind the number of requests no head is the one before
//! again. Prints how many spans there were, and a hash of all that was sent, by which two versions of the agent can be told to
//! write the same.

use std::io::Write as _;
use std::time::Duration;

use agent::decode::requests::piece;
use agent::export::batch::{Batcher, Unpacked};
use agent::export::otlp;
use agent::identity::{Identities, NodeName};
use agent::requests::ids::Ids;
use agent::requests::tracker::{Limits, Tracker};
use agent::requests::written::Written;
use agent::window::assemble::{Assembler, Named};
use agent::window::sample::{CgroupEvent, Sample};
use agent_common::requests::{
    EVENT_DATA, FLAG_POLLED, HEAD_LEN, HTTP1, Header, IN, OUT, ROLE_CLIENT, ROLE_SERVER, TRANSPORT_TCP,
};

const CONNECTIONS: u64 = 8;
/// Requests between two looks at the ring.
const REQUESTS_OF_A_POLL: u64 = 32;
const BOOT_TO_UNIX_NS: i64 = 1_795_262_400_000_000_000;
const REQUEST: &str =
    "GET /bench HTTP/1.1\r\nhost: localhost\r\nuser-agent: wake-bench\r\naccept: */*\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\nServer: nginx/1.26.3\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\n\
    Content-Type: application/octet-stream\r\nContent-Length: 1024\r\n\
    Last-Modified: Sun, 22 Nov 2026 11:00:00 GMT\r\nConnection: keep-alive\r\nETag: \"6921a2f0-400\"\r\n\
    Accept-Ranges: bytes\r\n\r\n";
const BODY: u64 = 1_024;
/// Of an answer, what the programs send.
const SEEN: usize = 512;

/// One end of a connection.
struct End {
    header: Header,
    before_total: u64,
}

impl End {
    fn new(connection: u64, role: u8) -> Self {
        let is_client = role == ROLE_CLIENT;
        let address = |last: u8| [0, 0, 0xffff_u32.to_be(), u32::from_ne_bytes([10, 44, 0, last])];
        let (client, server) = ((address(1), 40_000 + connection as u16), (address(2), 8_080));
        let (local, peer) = if is_client { (client, server) } else { (server, client) };
        let header = Header {
            event: EVENT_DATA,
            sequence: 0,
            socket: 0xffff_8880_0000_0000 + connection * 4_096 + u64::from(role) * 2_304,
            born_ns: 1 + connection,
            workload: 100 + u64::from(role),
            start_ns: 0,
            at_ns: 0,
            total: 0,
            before_total: 0,
            before_ns: 0,
            local: local.0,
            peer: peer.0,
            local_port: local.1,
            peer_port: peer.1,
            tgid: 1_000 + u32::from(role),
            tid: 1_000 + u32::from(role),
            run_calls: 1,
            protocol: HTTP1,
            role,
            direction: IN,
            transport: TRANSPORT_TCP,
            head_len: 0,
            head: [0; HEAD_LEN],
            data_len: 0,
            flags: FLAG_POLLED,
            task: 0,
        };
        Self { header, before_total: 0 }
    }

    /// The record of a call, as it lies in the ring.
    fn record(&mut self, direction: u8, at_ns: u64, total: u64, data: &[u8]) -> Vec<u8> {
        let header = &mut self.header;
        (header.before_ns, header.before_total) = (header.at_ns, self.before_total);
        (header.start_ns, header.at_ns) = (at_ns, at_ns + 1_000);
        header.sequence += 1;
        header.direction = direction;
        (header.total, self.before_total) = (total, total);
        header.data_len = data.len() as u32;
        // SAFETY: the struct is plain, without padding: its layout is checked at compile time
        let bytes = unsafe {
            std::slice::from_raw_parts(std::ptr::from_ref(header).cast::<u8>(), size_of::<Header>())
        };
        [bytes, data].concat()
    }
}

/// What is read from the ring at once.
fn ring(ends: &mut [[End; 2]], first: u64, are_others: bool) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    for number in first..first + REQUESTS_OF_A_POLL {
        let (mut request, mut answer) = (REQUEST.to_owned(), ANSWER.to_owned() + &"x".repeat(BODY as usize));
        if are_others {
            request = request.replace("wake-bench", &format!("wake-{number:05}"));
            answer = answer.replace("12:00:00", &format!("12:{:02}:{:02}", number / 60 % 60, number % 60));
        }
        let (request, answer) = (request.as_bytes(), answer.as_bytes());
        let (asked, answered) = (request.len() as u64, answer.len() as u64);
        let at_ns = 1_000_000_000 + number * 100_000;
        let Some([client, server]) = ends.get_mut((number % CONNECTIONS) as usize) else { continue };
        records.extend([
            client.record(OUT, at_ns, asked, request),
            server.record(IN, at_ns + 20_000, asked, request),
            server.record(OUT, at_ns + 40_000, answered, &answer[..SEEN]),
            client.record(IN, at_ns + 60_000, answered, &answer[..SEEN]),
        ]);
    }
    records
}

#[inline(never)]
fn stage_decode(tracker: &mut Tracker, records: &[Vec<u8>], samples: &mut Vec<Sample>) {
    let mut head = [0; HEAD_LEN];
    for record in records {
        if let Some(piece) = piece(record, &mut head) {
            tracker.take(&piece, BOOT_TO_UNIX_NS, samples);
        }
    }
}

#[inline(never)]
fn stage_name(assembler: &mut Assembler, identities: &mut Identities, samples: Vec<Sample>) -> Vec<Named> {
    assembler.pass(samples, identities, Duration::ZERO, &mut Vec::new())
}

#[inline(never)]
fn stage_batch(batcher: &mut Batcher, rows: Vec<Named>) -> Option<Unpacked> {
    rows.into_iter().for_each(|row| batcher.push(row, Duration::ZERO));
    if batcher.is_due(Duration::ZERO) { batcher.take() } else { None }
}

#[inline(never)]
fn stage_pack(batch: &mut Unpacked) -> (usize, bytes::Bytes) {
    batch.pack().map(|packed| (packed.zstd_payload.len(), batch.encoded())).unwrap_or_default()
}

#[inline(never)]
fn stage_otlp(payload: &[u8]) -> Vec<bytes::Bytes> {
    otlp::bodies(payload, "node").unwrap_or_default()
}

fn main() -> std::io::Result<()> {
    let requests: u64 = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(10_000);
    let are_others = std::env::args().nth(2).is_some_and(|word| word == "others");
    let limits = Limits { connections: 1_024, memory: 64 << 20, spans: u32::MAX };
    let mut tracker = Tracker::new(limits, Ids::seeded(1), Written::default());
    let node = NodeName { node: "node".to_owned(), ..NodeName::default() };
    let mut identities = Identities::new(node, 1);
    for (role, name) in [(ROLE_CLIENT, "client"), (ROLE_SERVER, "nginx")] {
        let path = format!("/system.slice/{name}.service");
        identities.apply(&CgroupEvent::Made { id: 100 + u64::from(role), path }, Duration::ZERO);
    }
    let mut assembler = Assembler::new(20_000, 10);
    let mut batcher = Batcher::default();
    let mut ends: Vec<[End; 2]> = (0..CONNECTIONS)
        .map(|number| [ROLE_CLIENT, ROLE_SERVER].map(|role| End::new(number, role)))
        .collect();
    let (mut spans, mut unpacked, mut packed, mut sent, mut hash) = (0, 0, 0, 0, 0);
    for first in (0..requests).step_by(REQUESTS_OF_A_POLL as usize) {
        let records = ring(&mut ends, first, are_others);
        let mut samples = Vec::new();
        stage_decode(&mut tracker, &records, &mut samples);
        let rows = stage_name(&mut assembler, &mut identities, samples);
        spans += rows.iter().map(|named| named.row.count()).sum::<u64>();
        let is_last = first + REQUESTS_OF_A_POLL >= requests;
        let batch = stage_batch(&mut batcher, rows);
        let last = if is_last { batcher.take() } else { None };
        for mut batch in batch.into_iter().chain(last) {
            let (size, payload) = stage_pack(&mut batch);
            (unpacked, packed) = (unpacked + payload.len(), packed + size);
            hash = xxhash_rust::xxh3::xxh3_64_with_seed(&payload, hash);
            for body in stage_otlp(&payload) {
                sent += body.len();
                hash = xxhash_rust::xxh3::xxh3_64_with_seed(&body, hash);
            }
        }
    }
    writeln!(
        std::io::stdout(),
        "{spans} spans: {unpacked} bytes, packed {packed}, OTLP {sent}; hash {hash:016x}"
    )
}
