//! A network, two cgroups with a process in each, and the probe attached to both.

use std::collections::HashMap;
use std::time::Duration;

use agent::kernel::Settings;
use agent::probe::{Running, Sink, flows::PROBE};
use agent::window::Window;
use agent::window::sample::{Loss, Owner, Row};
use daemon::clock::Clock;
use proto::v1::{DropRow, FlowRow};

use super::traffic::Traffic;
use crate::cgroup::Cgroup;
use crate::netns::{Count, Host, Network};
use crate::requires::{Need, requires};

const PATIENCE: Duration = Duration::from_secs(10);

/// Dropped in this order: processes, namespaces, programs, cgroups.
pub(super) struct Fixture {
    pub(super) client: Traffic,
    pub(super) server: Traffic,
    pub(super) network: Network,
    probe: Box<dyn Running>,
    pub(super) client_cgroup: Cgroup,
    pub(super) server_cgroup: Cgroup,
    /// Removed last: the others lie in it.
    _parent: Cgroup,
    marked: HashMap<(String, &'static str), Count>,
}

impl Fixture {
    /// `None`: this machine cannot, and the reason is recorded.
    pub(super) fn new(test: &str) -> Option<Self> {
        if !requires(test, &[Need::Root, Need::Btf, Need::Cgroup2, Need::Tool("ip"), Need::Tool("nft")]) {
            return None;
        }
        let features = crate::features();
        let parent = Cgroup::new(features, "flows").unwrap();
        let (client_cgroup, server_cgroup) = (parent.child("client").unwrap(), parent.child("server").unwrap());
        let settings = Settings { attach_cgroup: Some(parent.directory().to_owned()), ..Settings::default() };
        let probe = (PROBE.attach)(features, &settings).unwrap();
        assert_eq!(probe.missing(), expected_missing(features.version()), "{:#?}", probe.programs());
        let network = Network::new();
        let client = Traffic::start(&network, Host::Client, &client_cgroup);
        let server = Traffic::start(&network, Host::Server, &server_cgroup);
        let mut fixture = Self {
            client,
            server,
            network,
            probe,
            client_cgroup,
            server_cgroup,
            _parent: parent,
            marked: HashMap::new(),
        };
        fixture.drain();
        Some(fixture)
    }

    /// Ends the server's process and starts another.
    pub(super) fn restart_server(&mut self) {
        self.server = Traffic::start(&self.network, Host::Server, &self.server_cgroup);
    }

    /// One window.
    pub(super) fn drain(&mut self) -> Flows {
        let mut sink = Sink::default();
        self.probe.drain(Window { start_ns: 0, seconds: 10 }, &mut sink);
        let mut flows = Flows { losses: sink.losses, ..Flows::default() };
        for sample in sink.samples {
            match (sample.owner, sample.row) {
                (Owner::Workload(owner), Row::Flow(row)) => flows.rows.push((owner, row)),
                (_, Row::Drop(row)) => flows.drops.push(row),
                (owner, row) => panic!("a row of another probe: {owner:?} {row:?}"),
            }
        }
        let own = [self.client_cgroup.id(), self.server_cgroup.id()];
        flows.rows.retain(|(owner, _)| own.contains(owner));
        assert_eq!(flows.losses, Vec::new());
        flows
    }

    /// Windows until the condition holds of all together: the last packets of a close are sent by timers and peers.
    #[track_caller]
    pub(super) fn drain_until(&mut self, done: impl Fn(&Flows) -> bool) -> Flows {
        let clock = Clock::system();
        let start = clock.monotonic();
        let mut all = self.drain();
        while !done(&all) {
            assert!(clock.monotonic() - start < PATIENCE, "not within {PATIENCE:?}: {all:#?}");
            all.extend(self.drain());
        }
        all
    }

    /// What a counter grew since the last mark.
    pub(super) fn since(&self, host: Host, name: &'static str) -> Count {
        let now = self.network.counter(host, name);
        let before = self.marked.get(&(format!("{host:?}"), name)).copied().unwrap_or_default();
        Count { packets: now.packets - before.packets, bytes: now.bytes - before.bytes }
    }

    /// Forgets what was counted until now.
    pub(super) fn mark(&mut self) {
        for host in [Host::Client, Host::Server] {
            for name in ["udp_out", "udp_in", "tcp_out", "tcp_in"] {
                let now = self.network.counter(host, name);
                self.marked.insert((format!("{host:?}"), name), now);
            }
        }
    }
}

/// What a kernel of this version is known to lack.
fn expected_missing(version: (u32, u32)) -> Vec<String> {
    if version < (5, 17) { vec!["drop_reason: kernel < 5.17".into()] } else { Vec::new() }
}

/// Rows of one or more windows, of the test's own cgroups.
#[derive(Debug, Default)]
pub(super) struct Flows {
    rows: Vec<(u64, FlowRow)>,
    drops: Vec<DropRow>,
    losses: Vec<Loss>,
}

impl Flows {
    pub(super) fn extend(&mut self, more: Self) {
        self.rows.extend(more.rows);
        self.drops.extend(more.drops);
        self.losses.extend(more.losses);
    }

    /// All rows of a cgroup that fit, in one; the names are those of the last.
    #[track_caller]
    pub(super) fn sum(&self, cgroup: &Cgroup, fits: impl Fn(&FlowRow) -> bool) -> FlowRow {
        let rows = self.rows.iter().filter(|(owner, row)| *owner == cgroup.id() && fits(row)).map(|(_, row)| row);
        let mut sum: Option<FlowRow> = None;
        for row in rows {
            let before = sum.take().unwrap_or_default();
            sum = Some(FlowRow {
                bytes_sent: before.bytes_sent + row.bytes_sent,
                bytes_received: before.bytes_received + row.bytes_received,
                packets_sent: before.packets_sent + row.packets_sent,
                packets_received: before.packets_received + row.packets_received,
                connects: before.connects + row.connects,
                accepts: before.accepts + row.accepts,
                failures: before.failures + row.failures,
                resets: before.resets + row.resets,
                retransmits: before.retransmits + row.retransmits,
                closes: before.closes + row.closes,
                connect_us_sum: row.connect_us_sum.or(before.connect_us_sum),
                rtt_hist: if row.rtt_hist.is_empty() { before.rtt_hist } else { row.rtt_hist.clone() },
                ..row.clone()
            });
        }
        sum.unwrap_or_else(|| panic!("no such row: {:#?}", self.rows))
    }

    /// Connections that ended, on both sides.
    pub(super) fn closes(&self) -> u64 {
        self.rows.iter().map(|(_, row)| row.closes).sum()
    }

    /// Packets and bytes dropped for a reason, on the whole machine.
    pub(super) fn drops(&self, reason: &str, protocol: &str) -> (u64, u64) {
        let rows = self.drops.iter().filter(|row| row.reason == reason && row.protocol == protocol);
        rows.fold((0, 0), |(packets, bytes), row| (packets + row.packets, bytes + row.bytes))
    }

    /// The client ports that a cgroup's rows show, each once.
    pub(super) fn ports(&self, cgroup: &Cgroup) -> Vec<u32> {
        let own = self.rows.iter().filter(|(owner, _)| *owner == cgroup.id());
        let mut ports: Vec<u32> = own.filter_map(|(_, row)| row.client_port).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}
