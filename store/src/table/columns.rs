//! The columns of each table. A field id, once given, names that column for ever (it becomes the Iceberg field id).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use super::Table;

/// The type of a column. No unsigned integers: Iceberg has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Time,
    /// A time whose file keeps whole milliseconds: nanoseconds of noise would cost two points of a log's size.
    CoarseTime,
    I64,
    I32,
    F64,
    Bool,
    /// A string of few values; '' is stored as null, except for `namespace`.
    Dictionary,
    /// A string of many values; '' is stored as null.
    Text,
    /// A log body as received.
    BodyBytes,
    /// A log body with U+FFFD for what is not UTF-8.
    BodyText,
    /// 106 counts, or null.
    Counts,
    Strings,
    StringMap,
    CountMap,
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// Parquet field id; nested fields take `id * 100 + 1, 2`.
    pub(crate) id: i32,
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
}

const fn column(name: &'static str, id: i32, kind: Kind) -> Column {
    Column { name, id, kind, nullable: true }
}

const fn required(name: &'static str, id: i32, kind: Kind) -> Column {
    Column { name, id, kind, nullable: false }
}

const TS: Column = required("ts", 1, Kind::Time);
const WINDOW: Column = required("window_s", 2, Kind::I32);
const LSN: Column = required("lsn", 15, Kind::I64);

/// Who a row is about; the same on every table.
pub(crate) const IDENTITY: [Column; 13] = [
    column("cluster", 3, Kind::Dictionary),
    column("node", 4, Kind::Dictionary),
    column("zone", 5, Kind::Dictionary),
    required("namespace", 6, Kind::Dictionary),
    column("workload", 7, Kind::Dictionary),
    column("workload_kind", 8, Kind::Dictionary),
    column("pod", 9, Kind::Dictionary),
    column("pod_uid", 10, Kind::Dictionary),
    column("container", 11, Kind::Dictionary),
    column("cgroup_id", 12, Kind::I64),
    column("boot_id", 13, Kind::Dictionary),
    column("labels", 14, Kind::Dictionary),
    column("container_id", 16, Kind::Dictionary),
];

const LOG: [Column; 9] = [
    required("observed_ts", 20, Kind::CoarseTime),
    column("level", 21, Kind::Dictionary),
    required("body", 22, Kind::BodyText),
    column("source", 23, Kind::Dictionary),
    column("stream", 24, Kind::Dictionary),
    required("truncated", 25, Kind::Bool),
    column("trace_id", 26, Kind::Text),
    column("span_id", 27, Kind::Text),
    required("attributes", 28, Kind::StringMap),
];

/// What files have in place of a log row's `observed_ts`; no table shows it.
pub(crate) const DELAY: Column = required("observed_delay_ms", 29, Kind::I64);

const FLOW: [Column; 31] = [
    column("role", 20, Kind::Dictionary),
    column("protocol", 21, Kind::Dictionary),
    column("peer_address", 22, Kind::Text),
    column("peer_namespace", 23, Kind::Dictionary),
    column("peer_workload", 24, Kind::Dictionary),
    required("server_port", 25, Kind::I32),
    column("client_port", 26, Kind::I32),
    required("bytes_sent", 27, Kind::I64),
    required("bytes_received", 28, Kind::I64),
    required("packets_sent", 29, Kind::I64),
    required("packets_received", 30, Kind::I64),
    required("connects", 31, Kind::I64),
    required("accepts", 32, Kind::I64),
    required("failures", 33, Kind::I64),
    required("resets", 34, Kind::I64),
    required("retransmits", 35, Kind::I64),
    column("srtt_us", 36, Kind::I64),
    column("rtt_hist", 37, Kind::Counts),
    column("connect_us_sum", 38, Kind::I64),
    required("closes", 39, Kind::I64),
    column("opened_ts", 40, Kind::Time),
    column("closed_ts", 41, Kind::Time),
    column("asked_address", 42, Kind::Text),
    column("asked_port", 43, Kind::I32),
    column("nat_source", 44, Kind::Dictionary),
    column("peer_kind", 45, Kind::Dictionary),
    column("peer_workload_kind", 46, Kind::Dictionary),
    column("peer_pod", 47, Kind::Dictionary),
    column("peer_zone", 48, Kind::Dictionary),
    column("peer_service", 49, Kind::Dictionary),
    column("peer_node", 50, Kind::Dictionary),
];

const DROP: [Column; 4] = [
    column("reason", 20, Kind::Dictionary),
    column("protocol", 21, Kind::Dictionary),
    required("packets", 22, Kind::I64),
    required("bytes", 23, Kind::I64),
];

const USAGE: [Column; 28] = [
    column("cpu_usage_ns", 20, Kind::I64),
    column("cpu_user_ns", 21, Kind::I64),
    column("cpu_system_ns", 22, Kind::I64),
    column("cpu_periods", 23, Kind::I64),
    column("cpu_throttled_periods", 24, Kind::I64),
    column("cpu_throttled_ns", 25, Kind::I64),
    column("cpu_limit_cores", 26, Kind::F64),
    column("memory_current", 27, Kind::I64),
    column("memory_working_set", 28, Kind::I64),
    column("memory_peak", 29, Kind::I64),
    column("memory_limit", 30, Kind::I64),
    column("memory_events_max", 31, Kind::I64),
    column("memory_events_oom", 32, Kind::I64),
    column("memory_events_oom_kill", 33, Kind::I64),
    column("pids_current", 34, Kind::I64),
    column("pids_limit", 35, Kind::I64),
    column("io_read_bytes", 36, Kind::I64),
    column("io_write_bytes", 37, Kind::I64),
    column("io_read_ops", 38, Kind::I64),
    column("io_write_ops", 39, Kind::I64),
    column("psi_cpu_some_us", 40, Kind::I64),
    column("psi_memory_some_us", 41, Kind::I64),
    column("psi_memory_full_us", 42, Kind::I64),
    column("psi_io_some_us", 43, Kind::I64),
    column("psi_io_full_us", 44, Kind::I64),
    column("switches_voluntary", 45, Kind::I64),
    column("switches_involuntary", 46, Kind::I64),
    column("run_queue_hist", 47, Kind::Counts),
];

const SYSCALL: [Column; 6] = [
    column("syscall", 20, Kind::Dictionary),
    column("class", 21, Kind::Dictionary),
    column("abi", 22, Kind::Dictionary),
    required("count", 23, Kind::I64),
    required("errors", 24, Kind::I64),
    required("errnos", 25, Kind::CountMap),
];

const SYSCALL_LATENCY: [Column; 3] = [
    column("class", 20, Kind::Dictionary),
    required("sample_every", 21, Kind::I32),
    column("latency_hist", 22, Kind::Counts),
];

const BLOCK: [Column; 5] = [
    column("device", 20, Kind::Dictionary),
    column("operation", 21, Kind::Dictionary),
    required("operations", 22, Kind::I64),
    required("bytes", 23, Kind::I64),
    column("latency_hist", 24, Kind::Counts),
];

const PROCESS: [Column; 14] = [
    column("event", 20, Kind::Dictionary),
    required("pid", 21, Kind::I64),
    required("parent_pid", 22, Kind::I64),
    column("started_ts", 23, Kind::Time),
    column("executable", 24, Kind::Dictionary),
    required("arguments", 25, Kind::Strings),
    column("exit_code", 26, Kind::I32),
    column("exit_signal", 27, Kind::I32),
    column("lifetime_ns", 28, Kind::I64),
    column("cpu_ns", 29, Kind::I64),
    column("memory_peak", 30, Kind::I64),
    column("sender_pid", 31, Kind::I64),
    column("sender_executable", 32, Kind::Dictionary),
    required("count", 33, Kind::I64),
];

const LOSS: [Column; 4] = [
    column("signal", 20, Kind::Dictionary),
    column("stage", 21, Kind::Dictionary),
    column("reason", 22, Kind::Dictionary),
    required("count", 23, Kind::I64),
];

const KUBE_EVENT: [Column; 12] = [
    column("type", 20, Kind::Dictionary),
    column("reason", 21, Kind::Dictionary),
    column("note", 22, Kind::Text),
    column("regarding_kind", 23, Kind::Dictionary),
    column("regarding_name", 24, Kind::Dictionary),
    column("regarding_uid", 25, Kind::Text),
    column("controller", 26, Kind::Dictionary),
    column("action", 27, Kind::Dictionary),
    required("count", 28, Kind::I64),
    column("first_ts", 29, Kind::Time),
    column("uid", 30, Kind::Text),
    column("resource_version", 31, Kind::Text),
];

const OBJECT_CHANGE: [Column; 8] = [
    column("change", 20, Kind::Dictionary),
    column("kind", 21, Kind::Dictionary),
    column("name", 22, Kind::Dictionary),
    column("uid", 23, Kind::Text),
    required("generation", 24, Kind::I64),
    column("resource_version", 25, Kind::Text),
    column("diff", 26, Kind::Text),
    column("seen", 27, Kind::Dictionary),
];

const SPAN: [Column; 16] = [
    required("duration_ns", 20, Kind::I64),
    column("trace_id", 21, Kind::Text),
    column("span_id", 22, Kind::Text),
    column("parent_span_id", 23, Kind::Text),
    column("trace_state", 24, Kind::Text),
    column("service", 25, Kind::Dictionary),
    column("name", 26, Kind::Dictionary),
    column("kind", 27, Kind::Dictionary),
    column("status", 28, Kind::Dictionary),
    column("status_message", 29, Kind::Text),
    column("scope_name", 30, Kind::Dictionary),
    column("scope_version", 31, Kind::Dictionary),
    column("source", 32, Kind::Dictionary),
    required("attributes", 33, Kind::StringMap),
    column("events", 34, Kind::Text),
    column("links", 35, Kind::Text),
];

const REQUEST: [Column; 11] = [
    column("kind", 20, Kind::Dictionary),
    column("protocol", 21, Kind::Dictionary),
    column("name", 22, Kind::Dictionary),
    column("status", 23, Kind::Dictionary),
    column("peer_address", 24, Kind::Dictionary),
    column("server_port", 25, Kind::I32),
    required("count", 26, Kind::I64),
    required("spans", 27, Kind::I64),
    required("unseen", 28, Kind::I64),
    required("duration_ns_sum", 29, Kind::I64),
    column("duration_hist", 30, Kind::Counts),
];

/// Every column of a table: `ts`, `window_s` where it has windows, identity, its own, `lsn`.
pub(super) fn of(table: Table) -> Vec<Column> {
    let own: &[Column] = match table {
        Table::Log => &LOG,
        Table::Flow => &FLOW,
        Table::Drop => &DROP,
        Table::Usage => &USAGE,
        Table::Syscall => &SYSCALL,
        Table::SyscallLatency => &SYSCALL_LATENCY,
        Table::Block => &BLOCK,
        Table::Process => &PROCESS,
        Table::Loss => &LOSS,
        Table::KubeEvent => &KUBE_EVENT,
        Table::ObjectChange => &OBJECT_CHANGE,
        Table::Span => &SPAN,
        Table::Request => &REQUEST,
    };
    let mut columns = vec![TS];
    let has_no_window =
        matches!(table, Table::Log | Table::Process | Table::KubeEvent | Table::ObjectChange | Table::Span);
    if !has_no_window {
        columns.push(WINDOW);
    }
    columns.extend(IDENTITY);
    columns.extend_from_slice(own);
    columns.push(LSN);
    columns
}

impl Column {
    /// The field as a file has it.
    pub(crate) fn file_field(&self) -> Field {
        match self.kind {
            Kind::CoarseTime => {
                let data_type = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
                with_id(Field::new(self.name, data_type, self.nullable), self.id)
            }
            _ => self.field(),
        }
    }

    /// The Arrow field, with its Parquet field id.
    pub(crate) fn field(&self) -> Field {
        with_id(Field::new(self.name, arrow_type(self.kind, self.id), self.nullable), self.id)
    }
}

fn with_id(field: Field, id: i32) -> Field {
    field.with_metadata([("PARQUET:field_id".to_owned(), id.to_string())].into())
}

/// The Arrow type of a column of this kind; nested fields take their ids from `id`.
fn arrow_type(kind: Kind, id: i32) -> DataType {
    let nested = |part: i32, name: &str, data_type: DataType, nullable: bool| {
        Arc::new(with_id(Field::new(name, data_type, nullable), id * 100 + part))
    };
    let map = |value: DataType| {
        let entries =
            Fields::from(vec![nested(1, "key", DataType::Utf8, false), nested(2, "value", value, true)]);
        // the repeated group itself has no id, in Iceberg neither
        DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entries), false)), false)
    };
    match kind {
        Kind::Time | Kind::CoarseTime => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        Kind::I64 => DataType::Int64,
        Kind::I32 => DataType::Int32,
        Kind::F64 => DataType::Float64,
        Kind::Bool => DataType::Boolean,
        Kind::Dictionary => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
        Kind::Text | Kind::BodyText => DataType::Utf8,
        Kind::BodyBytes => DataType::Binary,
        Kind::Counts => DataType::List(nested(1, "element", DataType::Int64, false)),
        Kind::Strings => DataType::List(nested(1, "element", DataType::Utf8, false)),
        Kind::StringMap => map(DataType::Utf8),
        Kind::CountMap => map(DataType::Int64),
    }
}
