//! The cable between the nodes: a bridge in the machine's own network namespace, a veth and a namespace per node.

use std::process::Command;

use anyhow::Result;

use super::settings::{self, NETWORK, Node, POD_CIDR, PREFIX, SERVICE_CIDR};
use crate::run;

fn ip(args: &[&str]) -> Result<String> {
    run::read(Command::new("ip").args(args))
}

pub(super) fn make_bridge() -> Result<()> {
    let bridge = settings::bridge();
    ip(&["link", "add", &bridge, "type", "bridge"])?;
    ip(&["addr", "add", &format!("{NETWORK}.1/24"), "dev", &bridge])?;
    ip(&["link", "set", &bridge, "up"]).map(drop)
}

/// The node's network namespace: no default route, so nothing of the cluster leaves the machine.
pub(super) fn make(node: &Node) -> Result<()> {
    let (netns, veth) = (node.netns(), node.veth());
    ip(&["netns", "add", &netns])?;
    ip(&["link", "add", &veth, "type", "veth", "peer", "name", "eth0", "netns", &netns])?;
    ip(&["link", "set", &veth, "master", &settings::bridge(), "up"])?;
    ip(&["-n", &netns, "link", "set", "lo", "up"])?;
    ip(&["-n", &netns, "addr", "add", &format!("{}/24", node.address()), "dev", "eth0"])?;
    ip(&["-n", &netns, "link", "set", "eth0", "up"])?;
    // only so that the node itself can use service addresses, which are translated before they leave
    ip(&["-n", &netns, "route", "add", SERVICE_CIDR, "dev", "eth0", "via", &format!("{NETWORK}.1")])?;
    // the bridge plugin's own masquerading would hide pod addresses between nodes
    let script = "echo 1 > /proc/sys/net/ipv4/ip_forward
        [ ! -d /proc/sys/net/bridge ] || echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables
        iptables -t nat -A POSTROUTING -s \"$1\" ! -d \"$1\" -j MASQUERADE";
    ip(&["netns", "exec", &netns, "sh", "-ec", script, "sh", POD_CIDR]).map(drop)
}

/// `node`'s pods are reached over it.
pub(super) fn route(from: &Node, cidr: &str, node: &Node) -> Result<()> {
    ip(&["-n", &from.netns(), "route", "replace", cidr, "via", &node.address()]).map(drop)
}

/// Removes what an earlier run left, whatever it got to.
pub(super) fn remove() {
    let names = ip(&["netns", "list"]).unwrap_or_default();
    let ours = format!("{PREFIX}-node");
    for name in names.lines().filter_map(|line| line.split(' ').next()).filter(|name| name.starts_with(&ours))
    {
        ip(&["netns", "del", name]).ok();
    }
    for number in 1..=9 {
        // its peer went with the namespace, so mostly it has gone
        ip(&["link", "del", &Node { number }.veth()]).ok();
    }
    ip(&["link", "del", &settings::bridge()]).ok();
}
