//! The names behind the keys of tasks in the root cgroup.

use std::collections::HashSet;

use agent_common::workload::COMM_LEN;
use aya::maps::Map;

use super::KernelFeatures;
use super::batch::{Dump, MapError};
use crate::probe::Sink;
use crate::window::sample::CgroupEvent;

/// The map `HOST_COMMS` of one object.
#[derive(Debug)]
pub struct HostComms {
    dump: Dump<u64, [u8; COMM_LEN]>,
    told: HashSet<u64>,
}

impl HostComms {
    /// Takes over the map.
    pub fn new(map: Map, features: &KernelFeatures) -> Result<Self, MapError> {
        Ok(Self { dump: Dump::new(map, features)?, told: HashSet::new() })
    }

    /// Tells the names that are new since the last call; before the rows that use them.
    pub fn drain(&mut self, sink: &mut Sink) {
        let told = &mut self.told;
        let read = self.dump.each(|key, comm| {
            if told.insert(key) {
                sink.cgroups.push(CgroupEvent::HostComm { key, comm: text(&comm.one()) });
            }
        });
        if let Err(error) = read {
            tracing::warn!(%error, "names of host processes not read");
        }
    }
}

/// A NUL-padded name.
pub fn text(comm: &[u8]) -> String {
    let end = memchr::memchr(0, comm).unwrap_or(comm.len());
    String::from_utf8_lossy(comm.get(..end).unwrap_or_default()).into_owned()
}
