//! Rows that need no window: process events and what is done to them before they leave.

use agent_common::workload::HOST_BIT;

use crate::files::Usage;
use crate::identity::Identities;
use crate::logs::redact::{RawText, Rules, redact_arguments};
use crate::window::sample::{Owner, Row, Sample};

pub(super) fn is_event(row: &Row) -> bool {
    matches!(row, Row::Process(_) | Row::Log(_))
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

/// CPU time of processes that ended: what their cgroup's files may no longer tell.
pub(super) fn book_exits(usage: &mut Usage, identities: &mut Identities, events: &[Sample]) {
    for Sample { owner, row } in events {
        let Row::Process(row) = row else { continue };
        let Some(cpu_ns) = row.cpu_ns.filter(|_| row.event == "exit") else { continue };
        match owner {
            Owner::Workload(key) if key & HOST_BIT == 0 => usage.exited(*key, cpu_ns),
            owner => {
                if let Some(identity) = identities.resolve(owner)
                    && let Some(comm) = identity.workload.strip_prefix("host/")
                {
                    usage.host_exited(row.pid, comm, cpu_ns);
                }
            }
        }
    }
}
