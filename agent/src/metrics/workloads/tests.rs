use std::sync::Arc;
use std::time::Duration;

use daemon::metrics::Registry;
use proto::v1;

use super::Workloads;
use crate::window::assemble::Named;
use crate::window::sample::Row;

fn named(workload: &str, row: Row) -> Named {
    let identity = v1::Identity { workload: workload.into(), ..Default::default() };
    Named { identity: Arc::new(identity), row }
}

fn flow(peer: &str, bytes: u64) -> Row {
    let row = v1::FlowRow {
        role: "client".into(),
        protocol: "tcp".into(),
        peer_workload: peer.into(),
        bytes_sent: bytes,
        ..Default::default()
    };
    Row::Flow(Box::new(row))
}

fn scrape(workloads: &Workloads) -> String {
    let registry = Registry::new();
    workloads.register(&registry);
    registry.prometheus_text()
}

#[test]
fn counters_add_up_and_gauges_follow() {
    let workloads = Workloads::new(10, 10, Duration::from_secs(60));
    for current in [100, 70] {
        let usage = v1::UsageRow {
            memory_current: Some(current),
            cpu_usage_ns: Some(500_000_000),
            ..Default::default()
        };
        workloads.add(&[named("a", Row::Usage(Box::new(usage))), named("a", flow("b", 30))], Duration::ZERO);
    }
    let text = scrape(&workloads);
    for line in [
        r#"container_memory_usage_bytes{namespace="",workload="a"} 70"#,
        r#"container_cpu_time_seconds_total{namespace="",workload="a",mode=""} 1"#,
        r#"wake_flow_bytes_total{namespace="",workload="a",peer="b",protocol="tcp",role="client",direction="sent"} 60"#,
    ] {
        assert!(text.contains(line), "{line} not in:\n{text}");
    }
}

#[test]
fn workloads_and_peers_are_bounded_and_the_idle_go() {
    let workloads = Workloads::new(3, 2, Duration::from_secs(60));
    for index in 0..5 {
        workloads.add(&[named(&format!("w{index}"), flow("", 1))], Duration::ZERO);
        workloads.add(&[named("w0", flow(&format!("p{index}"), 1))], Duration::from_secs(100));
    }
    let text = scrape(&workloads);
    assert!(text.contains(r#"workload="other",peer="external""#), "{text}");
    assert!(
        text.contains(r#"workload="w0",peer="other""#) && !text.contains("p4") && !text.contains("w4"),
        "{text}"
    );
    workloads.expire(Duration::from_secs(100));
    let text = scrape(&workloads);
    assert!(!text.contains("w1") && text.contains("w0"), "{text}");
}

#[test]
fn the_gauges_of_what_ended_go_before_its_counters() {
    let workloads = Workloads::new(3, 2, Duration::from_secs(900));
    let usage = v1::UsageRow { memory_current: Some(7), cpu_usage_ns: Some(500), ..Default::default() };
    workloads.add(&[named("a", Row::Usage(Box::new(usage)))], Duration::ZERO);
    workloads.expire(Duration::from_secs(121));
    let text = scrape(&workloads);
    assert!(text.contains("container_cpu_time") && !text.contains("container_memory"), "{text}");
}
