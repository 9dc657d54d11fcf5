//! What threads do elsewhere than on their connections while they serve: lines that they write, connections that they make.

use std::collections::HashMap;

use agent_common::requests::line::{EVENT_ASKS, EVENT_CONNECT, EVENT_LINE};

use crate::decode::requests::Elsewhere;
use crate::kernel::clock::unix_ns;
use crate::requests::context::Context;
use crate::requests::protocol::Names;
use crate::requests::threads::{Thread, Threads};
use crate::requests::written::{Found, Write, Written};

/// Connections that were made and have carried nothing yet, and for how long they are remembered.
const MOST_OPENERS: usize = 16_384;
const OPENED_NS: u64 = 10_000_000_000;

/// Connections that were made and have carried nothing yet, where lines go, and what connections have learnt.
#[derive(Debug)]
pub(super) struct Doings {
    /// Which span's thread has made a connection, and when, until its first request.
    openers: HashMap<u64, (Context, f64, u64)>,
    written: Written,
    names: Names,
}

impl Doings {
    pub(super) fn new(written: Written) -> Self {
        Self { openers: HashMap::new(), written, names: Names::default() }
    }

    /// Names that connections have learnt.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// Whose thread has made the connection of this socket, and how sure that is; told once.
    pub(super) fn opener(&mut self, socket: u64) -> Option<(Context, f64)> {
        self.openers.remove(&socket).map(|(context, sure, _)| (context, sure))
    }

    pub(super) fn tidy(&mut self, now_ns: u64) {
        self.openers.retain(|_, (.., at_ns)| now_ns.saturating_sub(*at_ns) < OPENED_NS);
    }

    pub(super) fn take(&mut self, seen: &Elsewhere<'_>, threads: &mut Threads, boot_to_unix_ns: i64) {
        let line = &seen.line;
        let thread = (line.tgid, line.tid);
        match line.event {
            EVENT_LINE => self.line(seen, thread, threads, boot_to_unix_ns),
            EVENT_ASKS => threads.hands((line.tgid, line.workload), line.inode, line.at_ns),
            EVENT_CONNECT if self.openers.len() < MOST_OPENERS => {
                if let Some((context, sure)) = threads.asks(thread, line.at_ns) {
                    self.openers.insert(line.inode, (context, sure, line.at_ns));
                }
            }
            _ => {}
        }
    }

    fn line(&self, seen: &Elsewhere<'_>, thread: Thread, threads: &mut Threads, boot_to_unix_ns: i64) {
        let line = &seen.line;
        let Some((context, confidence)) = threads.logs(thread, line.start_ns) else { return };
        let Some(target) = seen.target() else { return };
        self.written.lock().push(&Write {
            target,
            tid: line.tid,
            owner: line.workload,
            start_ns: unix_ns(line.start_ns, boot_to_unix_ns),
            bytes: seen.bytes,
            total: line.total,
            found: Found { context, confidence },
        });
    }
}
