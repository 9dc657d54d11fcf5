//! A network, two cgroups with a process in each, and the probe attached to both.

use std::collections::HashMap;
use std::time::Duration;

use agent::kernel::{KernelFeatures, Settings};
use agent::probe::{Running, Sink, flows::PROBE};
use agent::window::Window;
use agent::window::sample::{CgroupEvent, Loss, Owner, Row};
use agent_common::workload::HOST_BIT;
use daemon::clock::Clock;
use proto::v1::{DropRow, FlowRow};

use super::traffic::Traffic;
use crate::cgroup::Cgroup;
use crate::netns::{Count, Host, Network};
use crate::requires::{Need, requires};

const PATIENCE: Duration = Duration::from_secs(10);

/// Dropped in this order: processes, namespaces, programs, cgroups.
pub(super) struct Fixture {
    client: Option<Traffic>,
    pub(super) server: Traffic,
    pub(super) network: Network,
    probe: Box<dyn Running>,
    features: KernelFeatures,
    settings: Settings,
    pub(super) client_cgroup: Cgroup,
    pub(super) server_cgroup: Cgroup,
    /// Removed last: the others lie in it.
    _parent: Cgroup,
    marked: HashMap<(String, &'static str), Count>,
}

impl Fixture {
    /// `None`: this machine cannot, and the reason is recorded.
    pub(super) fn new(test: &str) -> Option<Self> {
        Self::with(test, |features, _client| features.clone())
    }

    /// The client's cgroup is taken for the root, whose owners are known by their executable's name.
    pub(super) fn with_client_in_root(test: &str) -> Option<Self> {
        Self::with(test, |features, client| KernelFeatures {
            root_cgroup_id: client.id(),
            ..features.clone()
        })
    }

    /// Room for this many live connections.
    pub(super) fn with_connections(test: &str, most: u32) -> Option<Self> {
        let mut fixture = Self::new(test)?;
        fixture.settings.max_connections = most;
        fixture.reattach();
        Some(fixture)
    }

    fn with(test: &str, adjust: impl Fn(&KernelFeatures, &Cgroup) -> KernelFeatures) -> Option<Self> {
        if !requires(test, &[Need::Root, Need::Btf, Need::Cgroup2, Need::Tool("ip"), Need::Tool("nft")]) {
            return None;
        }
        let parent = Cgroup::new(crate::features(), "flows").unwrap();
        let (client_cgroup, server_cgroup) =
            (parent.child("client").unwrap(), parent.child("server").unwrap());
        let features = adjust(crate::features(), &client_cgroup);
        let settings = Settings { attach_cgroup: Some(parent.directory().to_owned()), ..Settings::default() };
        let probe = attach(&features, &settings);
        let network = Network::new();
        let client = Traffic::start(&network, Host::Client, &client_cgroup);
        let server = Traffic::start(&network, Host::Server, &server_cgroup);
        let mut fixture = Self {
            client: Some(client),
            server,
            network,
            probe,
            features,
            settings,
            client_cgroup,
            server_cgroup,
            _parent: parent,
            marked: HashMap::new(),
        };
        fixture.drain();
        Some(fixture)
    }

    /// The client's process.
    pub(super) fn client(&mut self) -> &mut Traffic {
        self.client.as_mut().unwrap()
    }

    /// Takes it away, for a thread of its own.
    pub(super) fn take_client(&mut self) -> Traffic {
        self.client.take().unwrap()
    }

    /// Ends the server's process and starts another.
    pub(super) fn restart_server(&mut self) {
        self.server = Traffic::start(&self.network, Host::Server, &self.server_cgroup);
    }

    /// The agent starts again: what was counted until now is gone.
    pub(super) fn reattach(&mut self) {
        self.probe = attach(&self.features, &self.settings);
    }

    /// One window in which nothing was lost.
    #[track_caller]
    pub(super) fn drain(&mut self) -> Flows {
        let flows = self.drain_lossy();
        assert_eq!(flows.losses, Vec::new());
        flows
    }

    /// One window, whatever was lost.
    pub(super) fn drain_lossy(&mut self) -> Flows {
        let mut sink = Sink::default();
        self.probe.drain(Window { start_ns: 0, seconds: 10 }, &mut sink);
        let mut flows = Flows { losses: sink.losses, ..Flows::default() };
        for sample in sink.samples {
            match (sample.owner, sample.row) {
                (Owner::Workload(owner), Row::Flow(row)) => flows.rows.push((owner, *row)),
                (owner, Row::Drop(row)) => flows.drops.push((owner, row)),
                (owner, row) => panic!("a row of another probe: {owner:?} {row:?}"),
            }
        }
        for event in sink.cgroups {
            if let CgroupEvent::HostComm { key, comm } = event {
                flows.hosts.insert(key, comm);
            }
        }
        let own = [self.client_cgroup.id(), self.server_cgroup.id()];
        flows.rows.retain(|(owner, _)| own.contains(owner) || owner & HOST_BIT != 0);
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

fn attach(features: &KernelFeatures, settings: &Settings) -> Box<dyn Running> {
    let probe = (PROBE.attach)(features, settings).unwrap();
    assert_eq!(probe.missing(), expected_missing(features.version()), "{:#?}", probe.programs());
    probe
}

/// What a kernel of this version is known to lack.
fn expected_missing(version: (u32, u32)) -> Vec<String> {
    if version < (5, 17) { vec!["drop_reason: kernel < 5.17".into()] } else { Vec::new() }
}

/// Rows of one or more windows, of the test's own cgroups.
#[derive(Debug, Default)]
pub(super) struct Flows {
    rows: Vec<(u64, FlowRow)>,
    drops: Vec<(Owner, DropRow)>,
    hosts: HashMap<u64, String>,
    losses: Vec<Loss>,
}

impl Flows {
    pub(super) fn extend(&mut self, more: Self) {
        self.rows.extend(more.rows);
        self.drops.extend(more.drops);
        self.losses.extend(more.losses);
        self.hosts.extend(more.hosts);
    }

    /// All rows of a cgroup that fit, in one; the names are those of the last.
    #[track_caller]
    pub(super) fn sum(&self, cgroup: &Cgroup, fits: impl Fn(&FlowRow) -> bool) -> FlowRow {
        self.sum_of(cgroup.id(), fits)
    }

    /// As `sum`, for an executable of the root cgroup.
    #[track_caller]
    pub(super) fn sum_of_host(&self, comm: &str, fits: impl Fn(&FlowRow) -> bool) -> FlowRow {
        let named = self.hosts.iter().find(|(_, name)| *name == comm);
        let key = named.map(|(key, _)| *key).unwrap_or_else(|| panic!("{comm} in {:?}", self.hosts));
        self.sum_of(key, fits)
    }

    #[track_caller]
    fn sum_of(&self, owner: u64, fits: impl Fn(&FlowRow) -> bool) -> FlowRow {
        let rows = self.rows.iter().filter(|(have, row)| *have == owner && fits(row)).map(|(_, row)| row);
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

    /// All that the ledger says.
    pub(super) fn losses(&self) -> &[Loss] {
        &self.losses
    }

    /// What the ledger says, by reason.
    pub(super) fn lost(&self, reason: &str) -> u64 {
        self.losses
            .iter()
            .filter(|loss| loss.signal == "flow" && loss.reason == reason)
            .map(|loss| loss.count)
            .sum()
    }

    /// Connections that ended, on both sides.
    pub(super) fn closes(&self) -> u64 {
        // other programs of the machine talk over loopback meanwhile; the tests' own traffic crosses namespaces
        let own =
            self.rows.iter().filter(|(_, row)| !matches!(row.peer_address.as_str(), "127.0.0.1" | "::1"));
        own.map(|(_, row)| row.closes).sum()
    }

    /// Packets and bytes that nftables dropped on the whole machine, of packets with this owner, `None` without.
    pub(super) fn drops(&self, cgroup: Option<&Cgroup>, protocol: &str) -> (u64, u64) {
        let reason = if crate::features().version() >= (5, 17) { "NETFILTER_DROP" } else { "UNKNOWN" };
        let owner = cgroup.map_or(Owner::Host("kernel".into()), |cgroup| Owner::Workload(cgroup.id()));
        let fits =
            |row: &&(Owner, DropRow)| row.0 == owner && row.1.reason == reason && row.1.protocol == protocol;
        let rows = self.drops.iter().filter(fits);
        rows.fold((0, 0), |(packets, bytes), (_, row)| (packets + row.packets, bytes + row.bytes))
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
