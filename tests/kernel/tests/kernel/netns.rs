//! A client, a router and a server, each in a network namespace of its own, with counters of nftables as the truth.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// What both hosts count, at the hooks where packets have left or not yet reached a socket.
const HOST_RULES: &str = "table inet wake {
    counter udp_out {}
    counter udp_in {}
    counter tcp_out {}
    counter tcp_in {}
    chain out {
        type filter hook output priority 0; policy accept;
        meta l4proto udp counter name udp_out
        meta l4proto tcp counter name tcp_out
    }
    chain in {
        type filter hook input priority 0; policy accept;
        meta l4proto udp counter name udp_in
        meta l4proto tcp counter name tcp_in
    }
}";

/// Packets and bytes of one counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// Three namespaces; removed when dropped.
#[derive(Debug)]
pub(crate) struct Network {
    prefix: String,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Client,
    Router,
    Server,
}

impl Network {
    /// The client is 10.77.1.2 and fd77:1::2, the server 10.77.2.2 and fd77:2::2.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        remove_orphans();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let network = Self { prefix: format!("wake-{}-{number}", std::process::id()) };
        for host in [Host::Client, Host::Router, Host::Server] {
            run(Command::new("ip").args(["netns", "add", &network.name(host)]), "");
        }
        network.link(Host::Client, 1);
        network.link(Host::Server, 2);
        network.inside(Host::Router, &["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"], "");
        network.inside(Host::Router, &["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"], "");
        for host in [Host::Client, Host::Server] {
            network.inside(host, &["nft", "-f", "-"], HOST_RULES);
        }
        network
    }

    /// The namespace's name.
    pub(crate) fn name(&self, host: Host) -> String {
        let letter = match host {
            Host::Client => 'c',
            Host::Router => 'r',
            Host::Server => 's',
        };
        format!("{}-{letter}", self.prefix)
    }

    /// Adds rules to a namespace.
    pub(crate) fn rules(&self, host: Host, rules: &str) {
        self.inside(host, &["nft", "-f", "-"], rules);
    }

    /// Reads a named counter.
    pub(crate) fn counter(&self, host: Host, name: &str) -> Count {
        let text = self.inside(host, &["nft", "list", "counter", "inet", "wake", name], "");
        let after = |word: &str| {
            let mut words = text.split_whitespace().skip_while(|have| *have != word);
            words.nth(1).and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{word} in {text}"))
        };
        Count { packets: after("packets"), bytes: after("bytes") }
    }

    /// A number of `/proc/net/snmp`, e.g. `Tcp` `RetransSegs`.
    pub(crate) fn snmp(&self, host: Host, group: &str, name: &str) -> u64 {
        let text = self.inside(host, &["cat", "/proc/net/snmp"], "");
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(group)?.strip_prefix(':'));
        let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
        let pairs = names.split_whitespace().zip(values.split_whitespace());
        pairs.into_iter().find(|(have, _)| *have == name).and_then(|(_, value)| value.parse().ok()).unwrap()
    }

    fn link(&self, host: Host, number: u32) {
        let (name, router) = (self.name(host), self.name(Host::Router));
        let side = format!("r{number}");
        let pair =
            ["link", "add", "eth0", "netns", &name, "type", "veth", "peer", "name", &side, "netns", &router];
        run(Command::new("ip").args(pair), "");
        let (inner, outer) = (format!("10.77.{number}.2/24"), format!("10.77.{number}.1/24"));
        let (inner6, outer6) = (format!("fd77:{number}::2/64"), format!("fd77:{number}::1/64"));
        for (at, device, v4, v6) in
            [(host, "eth0", &inner, &inner6), (Host::Router, &side[..], &outer, &outer6)]
        {
            self.ip(at, &["addr", "add", v4, "dev", device]);
            // without duplicate detection the address is there at once
            self.ip(at, &["addr", "add", v6, "dev", device, "nodad"]);
            self.ip(at, &["link", "set", device, "up"]);
        }
        self.ip(host, &["link", "set", "lo", "up"]);
        self.ip(host, &["route", "add", "default", "via", &format!("10.77.{number}.1")]);
        self.ip(host, &["-6", "route", "add", "default", "via", &format!("fd77:{number}::1")]);
    }

    fn ip(&self, host: Host, arguments: &[&str]) {
        run(Command::new("ip").args(["-n", &self.name(host)]).args(arguments), "");
    }

    fn inside(&self, host: Host, command: &[&str], input: &str) -> String {
        run(Command::new("ip").args(["netns", "exec", &self.name(host)]).args(command), input)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in [Host::Client, Host::Router, Host::Server] {
            remove(&self.name(host));
        }
    }
}

fn remove(name: &str) {
    let removed = Command::new("ip").args(["netns", "del", name]).stderr(Stdio::null()).status();
    if !removed.is_ok_and(|status| status.success()) {
        println!("namespace {name} not removed");
    }
}

/// Namespaces that a killed test run left behind.
fn remove_orphans() {
    let Ok(names) = std::fs::read_dir("/run/netns") else { return };
    for name in names.flatten() {
        let name = name.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix("wake-").and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !std::fs::exists(format!("/proc/{pid}")).unwrap_or(true)) {
            remove(&name);
        }
    }
}

/// Runs a command to its end; panics with what it said if it failed.
#[track_caller]
fn run(command: &mut Command, input: &str) -> String {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
