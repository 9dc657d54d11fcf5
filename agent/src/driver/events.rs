//! Rows that need no window: process events and what is done to them before they leave.

use agent_common::workload::HOST_BIT;

use crate::files::Usage;
use crate::identity::Identities;
use crate::logs::redact::{RawText, Rules, redact_arguments};
use crate::window::sample::{Owner, Row, Sample};

pub(super) fn is_event(row: &Row) -> bool {
    matches!(row, Row::Process(_) | Row::Log(_) | Row::Spans(_))
}

/// Rows with a time of their own need not wait for the window's end.
pub(super) fn take_events(samples: &mut Vec<Sample>) -> Vec<Sample> {
    let all = std::mem::take(samples);
    let (events, rest) = all.into_iter().partition(|sample| is_event(&sample.row));
    *samples = rest;
    events
}

/// Arguments leave the process redacted or not at all.
pub(super) fn redact_events(events: &mut [Sample], rules: &Rules) {
    for sample in events {
        let Row::Process(row) = &mut sample.row else { continue };
        let raw: Vec<RawText<'_>> =
            row.arguments.iter().map(|argument| RawText::new(argument.as_bytes())).collect();
        let redacted = redact_arguments(&raw, rules);
        row.arguments = redacted;
    }
}

/// Most ends whose executable is not named yet that are kept; more are booked as `other` at once.
const MAX_UNNAMED: usize = 4_096;
/// Where the time goes of an executable that nobody named.
const OTHER: &str = "other";

/// CPU time of processes that ended: what their cgroup's files may no longer tell.
///
/// The name behind the key of a root cgroup's task may come with the window's end only: until then such ends are kept.
#[derive(Debug, Default)]
pub struct Exits {
    unnamed: Vec<(Owner, u32, u64)>,
}

impl Exits {
    /// Books the ends among these events, and those of before whose name has come.
    pub(super) fn book(&mut self, usage: &mut Usage, identities: &mut Identities, events: &[Sample]) {
        let mut waiting = std::mem::take(&mut self.unnamed);
        for sample in events {
            let Row::Process(row) = &sample.row else { continue };
            let Some(cpu_ns) = row.cpu_ns.filter(|_| row.event == "exit") else { continue };
            match &sample.owner {
                Owner::Workload(key) if key & HOST_BIT == 0 => usage.exited(*key, cpu_ns),
                owner => {
                    identities.learn(sample);
                    waiting.push((owner.clone(), row.pid, cpu_ns));
                }
            }
        }
        for (owner, pid, cpu_ns) in waiting {
            match comm(identities, &owner) {
                Some(comm) => usage.host_exited(pid, &comm, cpu_ns),
                None if self.unnamed.len() < MAX_UNNAMED => self.unnamed.push((owner, pid, cpu_ns)),
                None => usage.host_exited(pid, OTHER, cpu_ns),
            }
        }
    }

    /// The window ends, and every name that came with it is known: what has none now gets none.
    pub(super) fn close(&mut self, usage: &mut Usage) {
        for (_, pid, cpu_ns) in self.unnamed.drain(..) {
            usage.host_exited(pid, OTHER, cpu_ns);
        }
    }
}

fn comm(identities: &mut Identities, owner: &Owner) -> Option<String> {
    identities.resolve(owner)?.workload.strip_prefix("host/").map(str::to_owned)
}

#[cfg(test)]
mod tests;
