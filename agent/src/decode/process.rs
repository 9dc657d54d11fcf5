//! Processes and signals to rows.

use agent_common::process::{
    ARGUMENTS_LEN, EVENT_EXIT, EVENT_OOM, EVENT_SIGNAL, FoldedKey, KIND_EXEC, KIND_FORK, Process, Signal,
};
use agent_common::workload::HOST_BIT;
use proto::v1;

use crate::kernel::batch;
use crate::kernel::clock::unix_ns;
use crate::kernel::hosts::text;
use crate::window::sample::{Owner, Row, Sample};

/// Turns the kernel's stamps and pages into what rows carry.
#[derive(Clone, Copy, Debug)]
pub struct Units {
    /// Wall time minus boot time
    pub boot_to_unix_ns: i64,
    /// Bytes of a page
    pub page: u64,
}

/// A record of the ring; `None` for one that is too short or of an unknown kind.
pub fn record(bytes: &[u8], units: Units) -> Option<Sample> {
    match batch::record::<u32>(bytes)? {
        EVENT_EXIT => Some(exit(&batch::record(bytes)?, units)),
        EVENT_SIGNAL => Some(signal(&batch::record(bytes)?, "signal", units)),
        EVENT_OOM => Some(signal(&batch::record(bytes)?, "oom_kill", units)),
        _ => None,
    }
}

/// A process that is alive when a window ends; `None` for one that was there before the agent.
pub fn alive(process: &Process, units: Units) -> Option<Sample> {
    let (event, at) = match process.kind {
        KIND_EXEC => ("exec", process.exec_ns),
        KIND_FORK => ("fork", process.started_ns),
        _ => return None,
    };
    let row = v1::ProcessRow {
        ts: unix_ns(at, units.boot_to_unix_ns),
        event: event.into(),
        ..image(process, units)
    };
    Some(sample(process.workload, row))
}

fn exit(process: &Process, units: Units) -> Sample {
    let signal = process.exit_code & 0x7f;
    let row = v1::ProcessRow {
        ts: unix_ns(process.ended_ns, units.boot_to_unix_ns),
        event: "exit".into(),
        exit_code: (signal == 0).then_some((process.exit_code >> 8 & 0xff).cast_signed()),
        exit_signal: (signal != 0).then_some(signal),
        lifetime_ns: (process.started_ns != 0).then(|| process.ended_ns.saturating_sub(process.started_ns)),
        cpu_ns: Some(process.cpu_ns),
        memory_peak: Some(process.peak_pages.saturating_mul(units.page)),
        ..image(process, units)
    };
    sample(process.workload, row)
}

/// Number and start (to 16 ms, since each reading has its own clock offset) of the process that this is the end of:
/// two threads that end at once may both tell it.
pub fn end(sample: &Sample) -> Option<(u32, u64)> {
    match &sample.row {
        Row::Process(row) if row.event == "exit" && row.count == 1 => Some((row.pid, row.started_ts >> 24)),
        _ => None,
    }
}

/// What is known of a process at any time.
fn image(process: &Process, units: Units) -> v1::ProcessRow {
    let file = text(&process.file);
    v1::ProcessRow {
        pid: process.pid,
        parent_pid: process.parent,
        started_ts: if process.started_ns == 0 {
            0
        } else {
            unix_ns(process.started_ns, units.boot_to_unix_ns)
        },
        executable: if file.is_empty() { text(&process.comm) } else { file },
        arguments: arguments(process),
        count: 1,
        ..Default::default()
    }
}

/// The arguments; a last one that was cut stays, for its first part says enough.
fn arguments(process: &Process) -> Vec<String> {
    let length = (process.arguments_len as usize).min(ARGUMENTS_LEN);
    let bytes = process.arguments.get(..length).unwrap_or_default();
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|byte| *byte == 0).map(|argument| String::from_utf8_lossy(argument).into_owned()).collect()
}

fn signal(signal: &Signal, event: &str, units: Units) -> Sample {
    let row = v1::ProcessRow {
        ts: unix_ns(signal.at_ns, units.boot_to_unix_ns),
        event: event.into(),
        pid: signal.pid,
        executable: text(&signal.comm),
        exit_signal: Some(signal.signal),
        sender_pid: (signal.sender != 0).then_some(signal.sender),
        sender_executable: text(&signal.sender_comm),
        count: 1,
        ..Default::default()
    };
    // an OOM victim that nothing is known of
    let workload = if signal.workload == 0 { HOST_BIT } else { signal.workload };
    sample(workload, row)
}

/// What came beyond the budget, by owner and name.
pub fn folded(key: &FoldedKey, count: u64, ts: u64) -> Sample {
    let event = if key.event == EVENT_SIGNAL { "signal" } else { "exit" };
    let row =
        v1::ProcessRow { ts, event: event.into(), executable: text(&key.comm), count, ..Default::default() };
    sample(key.workload, row)
}

fn sample(workload: u64, row: v1::ProcessRow) -> Sample {
    Sample { owner: Owner::Workload(workload), row: Row::Process(Box::new(row)) }
}

#[cfg(test)]
mod tests;
