//! Row messages of every table but the log, as Arrow columns.

use arrow::array::ArrayRef;
use arrow::error::ArrowError;
use proto::v1;

use super::columns::Columns;
use crate::Table;

/// The rows of one table in a batch: every column but `lsn`, and each row's place in the batch.
#[derive(Debug)]
pub(crate) struct TableRows {
    pub(crate) columns: Vec<ArrayRef>,
    pub(crate) places: Vec<i64>,
}

impl TableRows {
    pub(crate) fn rows(&self) -> usize {
        self.places.len()
    }
}

/// Turns admitted rows into columns.
pub(crate) trait Convert: Sized {
    const TABLE: Table;
    fn convert(rows: &[(i64, Self)], identities: &[&v1::Identity]) -> Result<TableRows, ArrowError>;
}

/// The columns of admitted rows; `identities` are the batch's, then one that stands for its node.
pub(crate) fn convert<R: Convert>(
    rows: &[(i64, R)],
    identities: &[&v1::Identity],
) -> Result<TableRows, ArrowError> {
    R::convert(rows, identities)
}

fn columns<R: Convert>(rows: &[(i64, R)]) -> Columns<'_, R> {
    Columns::new(R::TABLE.file_schema(), rows)
}

impl Convert for v1::FlowRow {
    const TABLE: Table = Table::Flow;
    fn convert(rows: &[(i64, Self)], identities: &[&v1::Identity]) -> Result<TableRows, ArrowError> {
        Ok(columns(rows)
            .times(|row| row.ts)
            .int(|row| row.window_s)
            .identity(identities, |row| row.identity)
            .word(|row| &row.role)
            .word(|row| &row.protocol)
            .text(|row| &row.peer_address)
            .word(|row| &row.peer_namespace)
            .word(|row| &row.peer_workload)
            .int(|row| row.server_port)
            .some_int(|row| row.client_port.map(|port| i32::try_from(port).unwrap_or(i32::MAX)))
            .long(|row| row.bytes_sent)
            .long(|row| row.bytes_received)
            .long(|row| row.packets_sent)
            .long(|row| row.packets_received)
            .long(|row| row.connects)
            .long(|row| row.accepts)
            .long(|row| row.failures)
            .long(|row| row.resets)
            .long(|row| row.retransmits)
            .some_long(|row| row.srtt_us)
            .counts(|row| &row.rtt_hist)
            .some_long(|row| row.connect_us_sum)
            .long(|row| row.closes)
            .times(|row| row.opened_ts.unwrap_or(0))
            .times(|row| row.closed_ts.unwrap_or(0))
            .text(|row| &row.asked_address)
            .some_int(|row| (row.asked_port != 0).then(|| i32::try_from(row.asked_port).unwrap_or(i32::MAX)))
            .word(|row| &row.nat_source)
            .word(|row| &row.peer_kind)
            .word(|row| &row.peer_workload_kind)
            .word(|row| &row.peer_pod)
            .word(|row| &row.peer_zone)
            .word(|row| &row.peer_service)
            .word(|row| &row.peer_node)
            .finish())
    }
}

impl Convert for v1::DropRow {
    const TABLE: Table = Table::Drop;
    fn convert(rows: &[(i64, Self)], identities: &[&v1::Identity]) -> Result<TableRows, ArrowError> {
        Ok(columns(rows)
            .times(|row| row.ts)
            .int(|row| row.window_s)
            .identity(identities, |row| row.identity)
            .word(|row| &row.reason)
            .word(|row| &row.protocol)
            .long(|row| row.packets)
            .long(|row| row.bytes)
            .finish())
    }
}

impl Convert for v1::UsageRow {
    const TABLE: Table = Table::Usage;
    fn convert(rows: &[(i64, Self)], identities: &[&v1::Identity]) -> Result<TableRows, ArrowError> {
        Ok(columns(rows)
            .times(|row| row.ts)
            .int(|row| row.window_s)
            .identity(identities, |row| row.identity)
            .some_long(|row| row.cpu_usage_ns)
            .some_long(|row| row.cpu_user_ns)
            .some_long(|row| row.cpu_system_ns)
            .some_long(|row| row.cpu_periods)
            .some_long(|row| row.cpu_throttled_periods)
            .some_long(|row| row.cpu_throttled_ns)
            .some_float(|row| row.cpu_limit_cores)
            .some_long(|row| row.memory_current)
            .some_long(|row| row.memory_working_set)
            .some_long(|row| row.memory_peak)
            .some_long(|row| row.memory_limit)
            .some_long(|row| row.memory_events_max)
            .some_long(|row| row.memory_events_oom)
            .some_long(|row| row.memory_events_oom_kill)
            .some_long(|row| row.pids_current)
            .some_long(|row| row.pids_limit)
            .some_long(|row| row.io_read_bytes)
            .some_long(|row| row.io_write_bytes)
            .some_long(|row| row.io_read_ops)
            .some_long(|row| row.io_write_ops)
            .some_long(|row| row.psi_cpu_some_us)
            .some_long(|row| row.psi_memory_some_us)
            .some_long(|row| row.psi_memory_full_us)
            .some_long(|row| row.psi_io_some_us)
            .some_long(|row| row.psi_io_full_us)
            .some_long(|row| row.switches_voluntary)
            .some_long(|row| row.switches_involuntary)
            .counts(|row| &row.run_queue_hist)
            .finish())
    }
}

impl Convert for v1::SyscallRow {
    const TABLE: Table = Table::Syscall;
    fn convert(rows: &[(i64, Self)], identities: &[&v1::Identity]) -> Result<TableRows, ArrowError> {
        Ok(columns(rows)
            .times(|row| row.ts)
            .int(|row| row.window_s)
            .identity(identities, |row| row.identity)
            .word(|row| &row.syscall)
            .word(|row| &row.class)
            .word(|row| &row.abi)
            .long(|row| row.count)
            .long(|row| row.errors)
            .count_map(|row| &row.errnos)?
            .finish())
    }
}

impl Convert for v1::SyscallLatencyRow {
    const TABLE: Table = Table::SyscallLatency;
    fn convert(rows: &[(i64, Self)], identities: &[&v1::Identity]) -> Result<TableRows, ArrowError> {
        Ok(columns(rows)
            .times(|row| row.ts)
            .int(|row| row.window_s)
            .identity(identities, |row| row.identity)
            .word(|row| &row.class)
            .int(|row| row.sample_every)
            .counts(|row| &row.latency_hist)
            .finish())
    }
}

impl Convert for v1::BlockRow {
    const TABLE: Table = Table::Block;
    fn convert(rows: &[(i64, Self)], identities: &[&v1::Identity]) -> Result<TableRows, ArrowError> {
        Ok(columns(rows)
            .times(|row| row.ts)
            .int(|row| row.window_s)
            .identity(identities, |row| row.identity)
            .word(|row| &row.device)
            .word(|row| &row.operation)
            .long(|row| row.operations)
            .long(|row| row.bytes)
            .counts(|row| &row.latency_hist)
            .finish())
    }
}

impl Convert for v1::ProcessRow {
    const TABLE: Table = Table::Process;
    fn convert(rows: &[(i64, Self)], identities: &[&v1::Identity]) -> Result<TableRows, ArrowError> {
        Ok(columns(rows)
            .times(|row| row.ts)
            .identity(identities, |row| row.identity)
            .word(|row| &row.event)
            .long(|row| u64::from(row.pid))
            .long(|row| u64::from(row.parent_pid))
            .times(|row| row.started_ts)
            .word(|row| &row.executable)
            .strings(|row| &row.arguments)
            .some_int(|row| row.exit_code)
            .some_int(|row| row.exit_signal.map(|signal| i32::try_from(signal).unwrap_or(i32::MAX)))
            .some_long(|row| row.lifetime_ns)
            .some_long(|row| row.cpu_ns)
            .some_long(|row| row.memory_peak)
            .some_long(|row| row.sender_pid.map(u64::from))
            .word(|row| &row.sender_executable)
            .long(|row| row.count)
            .finish())
    }
}

impl Convert for v1::LossRow {
    const TABLE: Table = Table::Loss;
    fn convert(rows: &[(i64, Self)], identities: &[&v1::Identity]) -> Result<TableRows, ArrowError> {
        // the ledger is about a node: the last identity stands for it
        let node = u32::try_from(identities.len().saturating_sub(1)).unwrap_or(u32::MAX);
        Ok(columns(rows)
            .times(|row| row.ts)
            .int(|row| row.window_s)
            .identity(identities, |_| node)
            .word(|row| &row.signal)
            .word(|row| &row.stage)
            .word(|row| &row.reason)
            .long(|row| row.count)
            .finish())
    }
}

impl Convert for v1::KubeEventRow {
    const TABLE: Table = Table::KubeEvent;
    fn convert(rows: &[(i64, Self)], identities: &[&v1::Identity]) -> Result<TableRows, ArrowError> {
        Ok(columns(rows)
            .times(|row| row.ts)
            .identity(identities, |row| row.identity)
            .word(|row| &row.r#type)
            .word(|row| &row.reason)
            .text(|row| &row.note)
            .word(|row| &row.regarding_kind)
            .word(|row| &row.regarding_name)
            .text(|row| &row.regarding_uid)
            .word(|row| &row.controller)
            .word(|row| &row.action)
            .long(|row| row.count)
            .times(|row| row.first_ts.unwrap_or(0))
            .text(|row| &row.uid)
            .text(|row| &row.resource_version)
            .finish())
    }
}

impl Convert for v1::ObjectChangeRow {
    const TABLE: Table = Table::ObjectChange;
    fn convert(rows: &[(i64, Self)], identities: &[&v1::Identity]) -> Result<TableRows, ArrowError> {
        Ok(columns(rows)
            .times(|row| row.ts)
            .identity(identities, |row| row.identity)
            .word(|row| &row.change)
            .word(|row| &row.kind)
            .word(|row| &row.name)
            .text(|row| &row.uid)
            .long(|row| row.generation.cast_unsigned())
            .text(|row| &row.resource_version)
            .text(|row| &row.diff)
            .word(|row| &row.seen)
            .finish())
    }
}

impl Convert for v1::SpanRow {
    const TABLE: Table = Table::Span;
    fn convert(rows: &[(i64, Self)], identities: &[&v1::Identity]) -> Result<TableRows, ArrowError> {
        Ok(columns(rows)
            .times(|row| row.ts)
            .identity(identities, |row| row.identity)
            .long(|row| row.duration_ns)
            .text(|row| &row.trace_id)
            .text(|row| &row.span_id)
            .text(|row| &row.parent_span_id)
            .text(|row| &row.trace_state)
            .word(|row| &row.service)
            .word(|row| &row.name)
            .word(|row| &row.kind)
            .word(|row| &row.status)
            .text(|row| &row.status_message)
            .word(|row| &row.scope_name)
            .word(|row| &row.scope_version)
            .word(|row| &row.source)
            .string_map(|row| &row.attributes)?
            .text(|row| &row.events)
            .text(|row| &row.links)
            .finish())
    }
}

impl Convert for v1::RequestRow {
    const TABLE: Table = Table::Request;
    fn convert(rows: &[(i64, Self)], identities: &[&v1::Identity]) -> Result<TableRows, ArrowError> {
        Ok(columns(rows)
            .times(|row| row.ts)
            .int(|row| row.window_s)
            .identity(identities, |row| row.identity)
            .word(|row| &row.kind)
            .word(|row| &row.protocol)
            .word(|row| &row.name)
            .word(|row| &row.status)
            .word(|row| &row.peer_address)
            .some_int(|row| {
                (row.server_port != 0).then(|| i32::try_from(row.server_port).unwrap_or(i32::MAX))
            })
            .long(|row| row.count)
            .long(|row| row.spans)
            .long(|row| row.unseen)
            .long(|row| row.duration_ns_sum)
            .counts(|row| &row.duration_hist)
            .finish())
    }
}
