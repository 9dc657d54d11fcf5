use std::collections::BTreeMap;
use std::time::Duration;

use proto::v1;

use super::{Assembler, MAX_WAITING, Named, PATIENCE};
use crate::identity::{Identities, NodeName};
use crate::window::Window;
use crate::window::sample::{CgroupEvent, Loss, Owner, Row, RunQueue, Sample};

const WINDOW: Window = Window { start_ns: 20_000_000_000, seconds: 10 };

fn identities() -> Identities {
    let mut table = Identities::new(NodeName::default(), 1);
    for id in 2..12 {
        table.apply(&CgroupEvent::Made { id, path: format!("/c{id}") }, Duration::ZERO);
    }
    table
}

fn flow(id: u64, port: u32, bytes: u64) -> Sample {
    let row = v1::FlowRow {
        role: "client".into(),
        protocol: "tcp".into(),
        server_port: port,
        bytes_sent: bytes,
        ..Default::default()
    };
    Sample { owner: Owner::Workload(id), row: Row::Flow(Box::new(row)) }
}

fn bytes(rows: &[Named]) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for Named { identity, row } in rows {
        if let Row::Flow(row) = row {
            *sums.entry(identity.workload.clone()).or_default() += row.bytes_sent;
        }
    }
    sums
}

#[test]
fn run_queue_joins_the_usage_of_the_same_owner() {
    let usage = v1::UsageRow { cpu_usage_ns: Some(5), ..Default::default() };
    let queue = RunQueue { hist: vec![1, 2], voluntary: 3, involuntary: 4 };
    let samples = vec![
        Sample { owner: Owner::Workload(2), row: Row::RunQueue(queue.clone()) },
        Sample { owner: Owner::Workload(3), row: Row::RunQueue(queue) },
    ];
    let mut assembler = Assembler::new(100, 10);
    let usage = vec![(Owner::Workload(2), usage)];
    let rows = assembler.close(WINDOW, samples, usage, &mut identities(), Duration::ZERO, &mut Vec::new());
    let mut found: Vec<_> = rows
        .iter()
        .filter_map(|named| match &named.row {
            Row::Usage(row) => Some((
                named.identity.cgroup_id,
                row.cpu_usage_ns,
                row.switches_voluntary,
                row.ts,
                row.window_s,
            )),
            _ => None,
        })
        .collect();
    found.sort_unstable();
    let ts = WINDOW.start_ns;
    assert_eq!(found, [(2, Some(5), Some(3), ts, 10), (3, None, Some(3), ts, 10)]);
}

#[test]
fn a_row_waits_for_its_name_and_then_goes_out_by_id() {
    let (mut table, mut losses) = (identities(), Vec::new());
    let mut assembler = Assembler::new(100, 10);
    let samples = vec![flow(50, 1, 1), flow(51, 1, 1)];
    assert!(assembler.pass(samples, &mut table, Duration::ZERO, &mut losses).is_empty());
    table.apply(&CgroupEvent::Made { id: 50, path: "/late".into() }, Duration::ZERO);
    let rows = assembler.retry(&mut table, PATIENCE / 2, &mut losses);
    assert_eq!(bytes(&rows).into_keys().collect::<Vec<_>>(), ["/late"]);
    assert!(assembler.is_waiting() && losses.is_empty());
    let rows = assembler.retry(&mut table, PATIENCE, &mut losses);
    assert_eq!(bytes(&rows).into_keys().collect::<Vec<_>>(), ["cgroup/51"]);
    assert_eq!(losses.iter().map(|loss| loss.count).sum::<u64>(), 1);
    assert!(!assembler.is_waiting());
}

#[test]
fn the_waiting_room_is_bounded() {
    let (mut table, mut losses) = (identities(), Vec::new());
    let mut assembler = Assembler::new(100, 10);
    let samples = (0..MAX_WAITING + 3).map(|_| flow(99, 1, 1)).collect();
    assert_eq!(assembler.pass(samples, &mut table, Duration::ZERO, &mut losses).len(), 3);
}

/// The naive twin: sums per workload before and after the budget are the same, whatever is folded.
#[test]
fn the_budget_conserves_bytes_and_counts_what_it_drops() {
    let mut state: u64 = 42;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..50 {
        let count = random(400);
        let mut expected = BTreeMap::new();
        let mut samples = Vec::new();
        for port in 0..count {
            let (id, sent) = (2 + random(10), random(1000));
            *expected.entry(format!("/c{id}")).or_default() += sent;
            samples.push(flow(id, port as u32, sent));
        }
        let blocks = random(300);
        for _ in 0..blocks {
            samples.push(Sample { owner: Owner::Workload(2), row: Row::Block(v1::BlockRow::default()) });
        }
        let (mut table, mut losses) = (identities(), Vec::<Loss>::new());
        let rows = Assembler::new(100, 10).close(
            WINDOW,
            samples,
            Vec::new(),
            &mut table,
            Duration::ZERO,
            &mut losses,
        );
        assert_eq!(bytes(&rows), expected);
        let kept = rows.iter().filter(|named| matches!(named.row, Row::Block(_))).count() as u64;
        assert_eq!(kept + losses.iter().map(|loss| loss.count).sum::<u64>(), blocks);
        assert!(rows.len() <= 100 + 10 + 100);
    }
}
