use agent_common::process::{EVENT_EXIT, FoldedKey, KIND_EXEC, KIND_OLD, Process};
use proto::v1;

use super::{Units, alive, exit, folded, record};
use crate::window::sample::{Owner, Row, Sample};

const UNITS: Units = Units { boot_to_unix_ns: 1_000_000, page: 4096 };

fn process() -> Process {
    let mut process = Process {
        event: EVENT_EXIT,
        kind: KIND_EXEC,
        workload: 7,
        started_ns: 100,
        exec_ns: 150,
        ended_ns: 600,
        cpu_ns: 40,
        peak_pages: 3,
        pid: 12,
        parent: 11,
        exit_code: 3 << 8,
        arguments_len: 9,
        comm: [0; 16],
        file: [0; 128],
        arguments: [0; 256],
    };
    process.comm[..2].copy_from_slice(b"ls");
    process.file[..7].copy_from_slice(b"/bin/ls");
    process.arguments[..9].copy_from_slice(b"ls\0-l\0/x\0");
    process
}

fn row(sample: &Sample) -> &v1::ProcessRow {
    let Row::Process(row) = &sample.row else { panic!("a process row") };
    row
}

#[test]
fn an_exit_tells_the_whole_life() {
    let sample = exit(&process(), UNITS);
    assert_eq!(sample.owner, Owner::Workload(7));
    let row = row(&sample);
    assert_eq!((row.event.as_str(), row.executable.as_str()), ("exit", "/bin/ls"));
    assert_eq!(row.arguments, ["ls", "-l", "/x"]);
    assert_eq!((row.exit_code, row.exit_signal), (Some(3), None));
    assert_eq!((row.ts, row.started_ts), (1_000_600, 1_000_100));
    assert_eq!((row.lifetime_ns, row.cpu_ns, row.memory_peak), (Some(500), Some(40), Some(12_288)));
}

#[test]
fn a_death_by_signal_has_no_code() {
    let sample =
        exit(&Process { exit_code: 0x80 | 11, file: [0; 128], arguments_len: 0, ..process() }, UNITS);
    let row = row(&sample);
    assert_eq!((row.exit_code, row.exit_signal), (None, Some(11)));
    assert_eq!(row.executable, "ls", "the name, where no path is known");
    assert!(row.arguments.is_empty());
}

#[test]
fn what_was_there_before_the_agent_is_no_event() {
    assert!(alive(&Process { kind: KIND_OLD, ..process() }, UNITS).is_none());
    let sample = alive(&process(), UNITS).unwrap();
    assert_eq!((row(&sample).event.as_str(), row(&sample).ts), ("exec", 1_000_150));
    let key = FoldedKey { workload: 7, event: EVENT_EXIT, _pad: 0, comm: *b"make\0\0\0\0\0\0\0\0\0\0\0\0" };
    let sample = folded(&key, 90, 5);
    assert_eq!((row(&sample).executable.as_str(), row(&sample).count), ("make", 90));
}

#[test]
fn no_bytes_do_harm() {
    let mut seed = 11_u64;
    for round in 0..20_000_usize {
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as u8
        };
        let mut bytes: Vec<u8> = (0..round % 500).map(|_| random()).collect();
        if let Some(first) = bytes.first_chunk_mut::<4>() {
            *first = u32::from(random() % 5).to_le_bytes();
        }
        drop(record(&bytes, UNITS));
    }
}
