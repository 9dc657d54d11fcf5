//! Row messages of every table but the log, as Arrow columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, Int64Builder, ListBuilder, StringArray, StringBuilder,
    StringDictionaryBuilder, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, SchemaRef};
use arrow::error::ArrowError;
use proto::v1;

use super::identity::identity_columns;
use super::log::string_map_builder;
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

/// Rows that were admitted, each with its place in the batch, of a table with schema `schema`.
struct Columns<'a, R> {
    schema: SchemaRef,
    rows: &'a [(i64, R)],
    done: Vec<ArrayRef>,
}

impl<R> Columns<'_, R> {
    fn next_field(&self) -> Field {
        self.schema.field(self.done.len().min(self.schema.fields().len() - 1)).clone()
    }

    fn times(mut self, value: impl Fn(&R) -> u64) -> Self {
        // 0 is "unknown" for optional times
        let nullable = self.next_field().is_nullable();
        let times = self.rows.iter().map(|(_, row)| {
            let time = value(row);
            (time != 0 || !nullable).then(|| i64::try_from(time).unwrap_or(i64::MAX))
        });
        let times = times.collect::<TimestampNanosecondArray>().with_timezone("UTC");
        self.done.push(Arc::new(times));
        self
    }

    fn long(self, value: impl Fn(&R) -> u64) -> Self {
        self.some_long(|row| Some(value(row)))
    }

    fn some_long(mut self, value: impl Fn(&R) -> Option<u64>) -> Self {
        let values =
            self.rows.iter().map(|(_, row)| value(row).map(|value| i64::try_from(value).unwrap_or(i64::MAX)));
        self.done.push(Arc::new(values.collect::<Int64Array>()));
        self
    }

    fn int(self, value: impl Fn(&R) -> u32) -> Self {
        self.some_int(|row| Some(i32::try_from(value(row)).unwrap_or(i32::MAX)))
    }

    fn some_int(mut self, value: impl Fn(&R) -> Option<i32>) -> Self {
        self.done.push(Arc::new(self.rows.iter().map(|(_, row)| value(row)).collect::<Int32Array>()));
        self
    }

    fn some_float(mut self, value: impl Fn(&R) -> Option<f64>) -> Self {
        self.done.push(Arc::new(self.rows.iter().map(|(_, row)| value(row)).collect::<Float64Array>()));
        self
    }

    fn text(mut self, value: impl Fn(&R) -> &str) -> Self {
        let texts = self.rows.iter().map(|(_, row)| Some(value(row)).filter(|text| !text.is_empty()));
        self.done.push(Arc::new(texts.collect::<StringArray>()));
        self
    }

    fn word(mut self, value: impl Fn(&R) -> &str) -> Self {
        let mut builder = StringDictionaryBuilder::<Int32Type>::new();
        for (_, row) in self.rows {
            builder.append_option(Some(value(row)).filter(|word| !word.is_empty()));
        }
        self.done.push(Arc::new(builder.finish()));
        self
    }

    fn counts(mut self, value: impl Fn(&R) -> &[u32]) -> Self {
        let mut builder = ListBuilder::new(Int64Builder::new());
        if let DataType::List(element) = self.next_field().data_type() {
            builder = builder.with_field(Arc::clone(element));
        }
        for (_, row) in self.rows {
            let counts = value(row);
            builder.values().extend(counts.iter().map(|count| Some(i64::from(*count))));
            builder.append(!counts.is_empty());
        }
        self.done.push(Arc::new(builder.finish()));
        self
    }

    fn strings(mut self, value: impl Fn(&R) -> &[String]) -> Self {
        let mut builder = ListBuilder::new(StringBuilder::new());
        if let DataType::List(element) = self.next_field().data_type() {
            builder = builder.with_field(Arc::clone(element));
        }
        for (_, row) in self.rows {
            value(row).iter().for_each(|text| builder.values().append_value(text));
            builder.append(true);
        }
        self.done.push(Arc::new(builder.finish()));
        self
    }

    fn count_map(mut self, value: impl Fn(&R) -> &BTreeMap<String, u64>) -> Result<Self, ArrowError> {
        let mut builder = string_map_builder(&self.next_field(), Int64Builder::new())?;
        for (_, row) in self.rows {
            for (key, count) in value(row) {
                builder.keys().append_value(key);
                builder.values().append_value(i64::try_from(*count).unwrap_or(i64::MAX));
            }
            builder.append(true)?;
        }
        self.done.push(Arc::new(builder.finish()));
        Ok(self)
    }

    fn identity(mut self, identities: &[&v1::Identity], index: impl Fn(&R) -> u32) -> Self {
        let rows: Vec<u32> = self.rows.iter().map(|(_, row)| index(row)).collect();
        self.done.extend(identity_columns(identities, &rows));
        self
    }

    fn finish(self) -> TableRows {
        TableRows { columns: self.done, places: self.rows.iter().map(|(place, _)| *place).collect() }
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
    Columns { schema: R::TABLE.file_schema(), rows, done: Vec::new() }
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
