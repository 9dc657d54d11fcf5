//! The watch caches of the aggregator: memory of a simulated cluster, and time per flow to find who is at its other end.

use std::time::Instant;

use aggregator::kube::simulate::{Simulated, pod_address, service_address};
use anyhow::{Context as _, Result, ensure};
use proto::v1::{FlowRow, Identity, Payload};

use crate::report::Report;

#[derive(clap::Args, Debug)]
pub(crate) struct KubeArgs {
    /// Pods
    #[arg(long, default_value_t = 10_000)]
    pods: usize,
    /// Endpoints of services, together
    #[arg(long, default_value_t = 50_000)]
    endpoints: usize,
    /// Flows of one batch
    #[arg(long, default_value_t = 5_000)]
    flows: usize,
    /// Also write the figures here
    #[arg(long, value_name = "FILE")]
    json: Option<std::path::PathBuf>,
}

const NOW_NS: u64 = 1_795_262_400_000_000_000;

pub(crate) fn run(args: &KubeArgs) -> Result<()> {
    let mut report = Report::default();
    let before = resident()?;
    let started = Instant::now();
    let cluster = Simulated::new(args.pods, args.endpoints, NOW_NS)?;
    let took = started.elapsed();
    let (pods, endpoints) = cluster.sizes();
    ensure!(pods == args.pods, "{pods} pods are kept");
    let grown = resident()?.saturating_sub(before);
    report.figure("pods", pods);
    report.figure("endpoints", endpoints);
    report.figure("read, trim and keep everything, s", took.as_secs_f64());
    report.figure("resident memory of the caches, MiB", grown as f64 / f64::from(1 << 20));
    report.figure("bytes per pod and its endpoints", grown as f64 / pods as f64);
    for (name, address) in [
        ("pods", Box::new(|index: usize| pod_address(index * 7 % args.pods)) as Box<dyn Fn(usize) -> String>),
        (
            "services, 64 endpoints looked at",
            Box::new(|index| service_address(index % (args.endpoints / 100).max(1))),
        ),
        ("addresses outside", Box::new(|index| format!("203.0.{}.{}", index / 256 % 256, index % 256))),
        ("one pod, as a batch mostly has it", Box::new(|_| pod_address(5))),
    ] {
        let payload = payload(args.flows, &*address);
        let nanos = per_flow(&cluster, &payload);
        report.figure(&format!("resolve, ns per flow: {name}"), nanos);
    }
    let identities = (0..1_000).map(|index| Identity {
        node: format!("node-{}", index / 100),
        pod_uid: format!("0a1b2c3d-0004-4000-8000-{index:012x}"),
        workload: format!("pod/{index}"),
        ..Identity::default()
    });
    let open = Payload { identities: identities.collect(), ..Payload::default() };
    let started = Instant::now();
    let completed = cluster.resolve(&open).completions.iter().filter(|one| !one.pod.is_empty()).count();
    ensure!(completed == 1_000, "{completed} identities were completed");
    report.figure("complete, ns per identity", started.elapsed().as_nanos() as f64 / 1_000.0);
    report.write(args.json.as_deref())
}

fn payload(flows: usize, address: &dyn Fn(usize) -> String) -> Payload {
    let flow = |index| FlowRow {
        ts: NOW_NS,
        window_s: 10,
        role: "client".to_owned(),
        protocol: "tcp".to_owned(),
        peer_address: address(index),
        server_port: 8_080,
        ..FlowRow::default()
    };
    Payload { flows: (0..flows).map(flow).collect(), ..Payload::default() }
}

/// The best of several rounds: another process's turn is not ours.
fn per_flow(cluster: &Simulated, payload: &Payload) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..20 {
        let started = Instant::now();
        let resolved = std::hint::black_box(cluster.resolve(payload));
        let nanos = started.elapsed().as_nanos() as f64 / payload.flows.len() as f64;
        drop(resolved);
        best = best.min(nanos);
    }
    best
}

fn resident() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").context("read /proc/self/statm")?;
    let pages: u64 = text.split(' ').nth(1).context("resident pages")?.parse()?;
    Ok(pages * 4_096)
}
