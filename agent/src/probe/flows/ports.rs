//! Who held which port when the programs began: listeners, and sockets of tasks in the root cgroup.
//!
//! Connections that are older than the programs get their role from it, and those of the root cgroup their owner.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use agent_common::flows::{PortKey, PortOwner, TCP, UDP};
use agent_common::workload::{COMM_LEN, NAME_END, host_key};

use crate::kernel::batch::Dump;
use crate::kernel::view::NodeView;
use crate::window::sample::CgroupEvent;

/// Most network namespaces that are looked into.
const MOST_NAMESPACES: usize = 1_024;
const LISTEN: u8 = 10;

/// The range that the kernel picks client ports from.
pub(in crate::probe) fn ephemeral() -> (u16, u16) {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ports = text.split_whitespace().filter_map(|port| port.parse().ok());
    match (ports.next(), ports.next()) {
        (Some(low), Some(high)) => (low, high),
        _ => (32_768, 60_999),
    }
}

/// Fills the programs' map; returns the names behind the keys that it used.
pub(super) fn tell(map: &Dump<PortKey, PortOwner>, view: &NodeView) -> Vec<CgroupEvent> {
    let mut names = HashMap::new();
    for (key, value) in scan(Path::new("/proc"), view, &mut names) {
        if let Err(error) = map.insert(&key, &value) {
            tracing::debug!(%error, port = key.port, "owner of a port not kept");
        }
    }
    names.into_iter().map(|(key, comm)| CgroupEvent::HostComm { key, comm }).collect()
}

fn scan(proc: &Path, view: &NodeView, names: &mut HashMap<u64, String>) -> HashMap<PortKey, PortOwner> {
    let mut namespaces = HashSet::new();
    let mut sockets = Vec::new();
    let mut owners: HashMap<u64, u64> = HashMap::new();
    let Ok(processes) = fs::read_dir(proc) else { return HashMap::new() };
    for process in processes.flatten() {
        let name = process.file_name();
        if !name.to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let process = process.path();
        let Some(cgroup) = cgroup(&process).filter(|path| view.holds(path)) else { continue };
        if namespaces.len() < MOST_NAMESPACES
            && let Ok(namespace) = fs::metadata(process.join("ns/net"))
            && namespaces.insert(namespace.ino())
        {
            for (file, protocol) in [("tcp", TCP), ("tcp6", TCP), ("udp", UDP), ("udp6", UDP)] {
                let text = fs::read_to_string(process.join("net").join(file)).unwrap_or_default();
                sockets.extend(text.lines().skip(1).filter_map(|line| Socket::parse(line, protocol)));
            }
        }
        if view.relative(&cgroup).as_deref() == Some("/") {
            claim(&process, &mut owners, names);
        }
    }
    fold(&sockets, &owners)
}

/// A line of `/proc/net/tcp` and the like.
#[derive(Debug, PartialEq, Eq)]
struct Socket {
    port: u16,
    protocol: u8,
    listens: bool,
    inode: u64,
}

impl Socket {
    fn parse(line: &str, protocol: u8) -> Option<Self> {
        let mut fields = line.split_whitespace();
        let (_, port) = fields.nth(1)?.rsplit_once(':')?;
        let state = u8::from_str_radix(fields.nth(1)?, 16).ok()?;
        let inode = fields.nth(5)?.parse().ok()?;
        let port = u16::from_str_radix(port, 16).ok()?;
        Some(Self { port, protocol, listens: protocol == TCP && state == LISTEN, inode })
    }
}

fn fold(sockets: &[Socket], owners: &HashMap<u64, u64>) -> HashMap<PortKey, PortOwner> {
    let mut ports = HashMap::new();
    for socket in sockets {
        let owner = owners.get(&socket.inode).copied().unwrap_or(0);
        if owner == 0 && !socket.listens {
            continue;
        }
        let key = PortKey { port: socket.port, protocol: socket.protocol, padding: 0 };
        let found = ports.entry(key).or_insert(PortOwner { owner, listeners: 0 });
        found.listeners += u64::from(socket.listens);
        // the listener's name counts more than that of one who inherited a connection
        if owner != 0 && (socket.listens || found.owner == 0) {
            found.owner = owner;
        }
    }
    ports
}

/// Its path in cgroup2, as this process sees it; `None` where it has ended.
fn cgroup(process: &Path) -> Option<String> {
    let text = fs::read_to_string(process.join("cgroup")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

fn claim(process: &Path, owners: &mut HashMap<u64, u64>, names: &mut HashMap<u64, String>) {
    let Ok(files) = fs::read_dir(process.join("fd")) else { return };
    let mut key = None;
    for file in files.flatten() {
        let Ok(target) = fs::read_link(file.path()) else { continue };
        let target = target.to_string_lossy();
        let Some(inode) = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')) else {
            continue;
        };
        let Ok(inode) = inode.parse() else { continue };
        let key = *key.get_or_insert_with(|| {
            let comm = fs::read_to_string(process.join("comm")).unwrap_or_default();
            // cut as the programs cut it
            let comm = comm.trim_end_matches('\n').split(char::from(NAME_END)).next().unwrap_or_default();
            let key = host_key(&padded(comm.as_bytes()));
            names.insert(key, comm.to_owned());
            key
        });
        owners.insert(inode, key);
    }
}

fn padded(comm: &[u8]) -> [u8; COMM_LEN] {
    let mut bytes = [0; COMM_LEN];
    for (place, byte) in bytes.iter_mut().zip(comm) {
        *place = *byte;
    }
    bytes
}

#[cfg(test)]
mod tests;
