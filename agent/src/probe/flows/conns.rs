//! Live connections: each byte is read once, although programs fold and delete while the map is read.
//!
//! The programs fold a connection of the current epoch into its edge when it closes, and only mark an older one. So a
//! reading first raises the epoch, waits until no program runs that saw the old one, and then reads and removes only
//! what is older.

use std::collections::HashMap;

use agent_common::flows::Conn;
use rustix::thread::{MembarrierCommand, membarrier};

use crate::decode::flows::{self, ConnRead};
use crate::kernel::batch::{Dump, MapError};
use crate::kernel::table::Table;
use crate::probe::Sink;

/// The maps `CONNS` and `EPOCH`.
#[derive(Debug)]
pub(super) struct Conns {
    dump: Dump<u64, Conn>,
    epoch: Table<u32>,
    now: u32,
    seen: HashMap<u64, Seen>,
    idle_limit: u32,
}

#[derive(Debug)]
struct Seen {
    read: ConnRead,
    /// Readings in a row without a difference.
    idle: u32,
}

impl Conns {
    pub(super) fn new(dump: Dump<u64, Conn>, epoch: Table<u32>, idle_limit: u32) -> Self {
        Self { dump, epoch, now: 0, seen: HashMap::new(), idle_limit }
    }

    /// What happened on connections that are older than this call.
    pub(super) fn read(&mut self, boot_to_unix_ns: i64, sink: &mut Sink) -> Result<(), MapError> {
        self.now = self.now.wrapping_add(1);
        self.epoch.set(0, &self.now)?;
        grace_period();
        let Self { dump, epoch: _, now, seen, idle_limit } = self;
        let mut ended = Vec::new();
        dump.each(|cookie, conn| {
            let conn = conn.one();
            if conn.epoch == *now {
                return;
            }
            if conn.closed_ns != 0 {
                ended.push(cookie);
                return;
            }
            let known = seen.get_mut(&cookie);
            let sample = flows::conn(&conn, known.as_ref().map(|known| &known.read), boot_to_unix_ns);
            match known {
                Some(known) if sample.is_some() => *known = Seen { read: ConnRead::from(&conn), idle: 0 },
                Some(known) => {
                    known.idle += 1;
                    if known.idle >= *idle_limit {
                        ended.push(cookie);
                    }
                }
                None => {
                    seen.insert(cookie, Seen { read: ConnRead::from(&conn), idle: 0 });
                }
            }
            sink.samples.extend(sample);
        })?;
        for cookie in ended {
            let last = seen.remove(&cookie);
            let row = dump.take(&cookie, |conn| {
                flows::conn(&conn.one(), last.as_ref().map(|last| &last.read), boot_to_unix_ns)
            });
            sink.samples.extend(row.flatten());
        }
        Ok(())
    }
}

/// Returns when every program that was running has ended: programs run inside RCU, and this call waits for RCU.
fn grace_period() {
    if let Err(error) = membarrier(MembarrierCommand::Global) {
        // a kernel with nohz_full CPUs refuses; a program takes a microsecond, the next syscalls as long
        tracing::debug!(%error, "no grace period");
    }
}
