//! What the fuzz targets in `fuzz/` call: bytes of the kernel, of its files, of logs, of requests, of our own disk, of a config.
//!
//! No input may make any of these panic or break what is asserted. The tests replay the corpus through the same table, so
//! that a finding stays found. Hidden: no program uses this.

use std::collections::BTreeMap;
use std::collections::HashMap;

use agent_common::flows::{Conn, DropKey, Drops, Edge, EdgeKey};
use agent_common::{block, requests, sched, syscalls};

use crate::decode;
pub use crate::export::spool::fuzz::spool;
pub use crate::files::fuzz::files as kernel_files;
use crate::kernel::batch::record;
use crate::kernel::btf::Btf;
pub use crate::kernel::fuzz::object as kernel_object;
use crate::logs::fuzz::wishes;
pub use crate::logs::fuzz::{checkpoints, journal, lines, redaction};
use crate::requests::ids::Ids;
pub use crate::requests::protocol::fuzz::{
    request_dns, request_http1, request_http2, request_kafka, request_mysql, request_path, request_postgres,
    request_redis, request_statement,
};
use crate::requests::tracker::{Limits, Tracker};

/// What takes any bytes.
pub type Decoder = fn(&[u8]);

/// Each target's name in `fuzz/`, and its function.
pub const TARGETS: [(&str, Decoder); 22] = [
    ("kernel_records", kernel_records),
    ("kernel_btf", kernel_btf),
    ("kernel_object", kernel_object),
    ("kernel_files", kernel_files),
    ("log_lines", lines),
    ("log_redaction", redaction),
    ("log_journal", journal),
    ("log_checkpoints", checkpoints),
    ("spool", spool),
    ("conntrack", conntrack),
    ("told_names", told_names),
    ("agent_config", config),
    ("request_http1", request_http1),
    ("request_http2", request_http2),
    ("request_dns", request_dns),
    ("request_postgres", request_postgres),
    ("request_mysql", request_mysql),
    ("request_redis", request_redis),
    ("request_kafka", request_kafka),
    ("request_statement", request_statement),
    ("request_path", request_path),
    ("tls_binary", tls_binary),
];

/// A file that a process runs.
pub fn tls_binary(data: &[u8]) {
    if let Ok(Some(found)) = crate::tls::binary::examine(data, "/libssl.so.3") {
        assert!(!found.places.is_empty());
        assert!(found.places.iter().chain(&found.streams).all(|place| !place.offsets.is_empty()));
    }
    _ = crate::tls::code::go(data);
    assert!(crate::tls::code::cheap(data) < data.len().max(1) as u64);
}

/// Messages as netlink gives them.
pub fn conntrack(data: &[u8]) {
    let mut found = 0;
    decode::conntrack::Dump::new(0).take(data, |translation| {
        assert_ne!(translation.asked, translation.real, "what was not rewritten is none");
        found += 1;
    });
    assert!(found <= data.len() / 16, "an entry has a header");
}

/// An update; with an odd first byte a snapshot's file. Whatever it says, what is kept is within its bounds.
pub fn told_names(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    let update = match kind % 2 {
        1 => crate::identity::saved::parse(bytes).map(|(_, update)| update),
        _ => prost::Message::decode(bytes).ok(),
    };
    let Some(update) = update else { return };
    let mut pods = crate::identity::kube::KubePods::default();
    pods.take(update, std::time::Duration::ZERO);
    let snapshot = pods.snapshot();
    assert!(snapshot.pods.len() <= proto::kube::MAX_PODS, "a node has a bound of pods");
    assert!(snapshot.pods.iter().all(|pod| proto::kube::check_pod(pod).is_ok()), "a pod was checked");
    snapshot.pods.iter().for_each(wishes);
}

/// Every struct that the kernel's maps and rings hold; the first byte chooses.
pub fn kernel_records(data: &[u8]) {
    decoded(data);
}

/// The same; how many of them made sense.
fn decoded(data: &[u8]) -> usize {
    let Some((kind, bytes)) = data.split_first() else { return 0 };
    let before = bytes.get(8..).unwrap_or_default();
    match kind % 8 {
        0 => {
            let units = decode::process::Units { boot_to_unix_ns: 1_795_262_400_000_000_000, page: 4_096 };
            let Some(sample) = decode::process::record(bytes, units) else { return 0 };
            decode::process::end(&sample);
            1
        }
        1 => {
            let event = decode::cgroups::event(bytes, u32::from(bytes.first().copied().unwrap_or(0)) % 8);
            usize::from(event.is_some())
        }
        2 => {
            let Some(now) = record::<Conn>(bytes) else { return 0 };
            let before = record::<Conn>(before).map(|before| decode::flows::ConnRead::from(&before));
            drop(decode::flows::conn(&now, before.as_ref(), i64::MIN));
            1
        }
        3 => {
            let (Some(key), Some(now)) = (record::<EdgeKey>(bytes), record::<Edge>(bytes)) else { return 0 };
            drop(decode::flows::edge(&key, &now, record::<Edge>(before).as_ref()));
            1
        }
        4 => {
            let (Some(key), Some(now)) = (record::<DropKey>(bytes), record::<Drops>(bytes)) else { return 0 };
            let reasons = decode::flows::DropReasons::default();
            drop(decode::flows::drops(&key, &now, record::<Drops>(before).as_ref(), &reasons));
            1
        }
        5 => {
            let mut found = 0;
            if let (Some(key), Some(count)) = (record::<syscalls::CountKey>(bytes), record(before)) {
                let errnos: HashMap<u32, u64> =
                    record::<u32>(before).map(|errno| (errno, 3)).into_iter().collect();
                drop(decode::syscalls::count(&key, &count, Some(&errnos)));
                found += 1;
            }
            if let (Some(key), Some(latency)) = (record::<syscalls::LatencyKey>(bytes), record(before)) {
                drop(decode::syscalls::latency(&key, &latency, u32::from(*kind)));
                found += 1;
            }
            found
        }
        6 => requests(bytes),
        _ => {
            let mut found = 0;
            if let (Some(key), Some(stats)) = (record::<block::StatsKey>(bytes), record(before)) {
                drop(decode::block::stats(&key, &stats, &HashMap::new()));
                found += 1;
            }
            if let Some(queue) = record::<sched::RunQueue>(bytes) {
                drop(decode::sched::run_queue(7, &queue));
                found += 1;
            }
            found
        }
    }
}

/// Bytes of a record of requests, with what it carries.
const REQUEST: usize = size_of::<requests::Header>() + 64;

/// One record of the ring after the other.
fn requests(bytes: &[u8]) -> usize {
    let limits = Limits { connections: 8, memory: 1 << 20, spans: 100 };
    let mut tracker = Tracker::new(limits, Ids::seeded(1), crate::requests::written::Written::default());
    let mut samples = Vec::new();
    let mut found = 0;
    for bytes in bytes.chunks(REQUEST) {
        if let Some(seen) = decode::requests::elsewhere(bytes) {
            tracker.elsewhere(&seen, 0);
            found += 1;
        }
        let mut head = [0; requests::HEAD_LEN];
        if let Some(piece) = decode::requests::piece(bytes, &mut head) {
            tracker.take(&piece, 0, &mut samples);
            found += 1;
        }
    }
    drop(tracker.tidy(u64::MAX, 0, &mut samples));
    found
}

/// The kernel's description of its own types.
pub fn kernel_btf(data: &[u8]) {
    let Ok(btf) = Btf::parse(data.to_vec()) else { return };
    for path in ["first", "bit", "pid", "deep", "in.a", "in.b.c"] {
        btf.field("outer", path).ok();
    }
    drop((btf.enumerators("reason"), btf.tracepoint("event"), btf.argument("event", "outer")));
    drop(Btf::parse(btf.tracepoints_only()));
}

/// The agent's configuration file.
pub fn config(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let read = daemon::config::parse::<crate::config::AgentConfig>(text, "agent.yaml", &BTreeMap::new());
    match read {
        Ok(config) => drop(config.settings()),
        Err(errors) => assert!(!errors.0.is_empty(), "a refusal names a mistake"),
    }
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests;
