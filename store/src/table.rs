//! The tables and their columns: names, types, field ids, sort order. They live longest of all; columns are only added.

mod columns;

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{Schema, SchemaRef};

pub(crate) use columns::{Column, DELAY, IDENTITY, Kind};

/// A table of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Log lines.
    Log,
    /// Edges between workloads and peers, per window.
    Flow,
    /// Packets that the kernel dropped, per window and reason.
    Drop,
    /// CPU, memory, I/O and pressure, per window.
    Usage,
    /// Calls and errors, per window and syscall.
    Syscall,
    /// Latency, per window and syscall class.
    SyscallLatency,
    /// Block I/O, per window, device and operation.
    Block,
    /// Process starts, ends and kills.
    Process,
    /// The loss ledger.
    Loss,
    /// Events of Kubernetes.
    KubeEvent,
    /// What became of objects of Kubernetes.
    ObjectChange,
    /// Operations of requests, as traces have them.
    Span,
    /// Requests, counted per window, other end and name.
    Request,
}

impl Table {
    /// How many tables there are.
    pub const COUNT: usize = 13;

    /// Every table, in the order of a batch's rows.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Log,
        Self::Flow,
        Self::Drop,
        Self::Usage,
        Self::Syscall,
        Self::SyscallLatency,
        Self::Block,
        Self::Process,
        Self::Loss,
        Self::KubeEvent,
        Self::ObjectChange,
        Self::Span,
        Self::Request,
    ];

    /// The table's name in SQL, on disk and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Flow => "flow",
            Self::Drop => "drop",
            Self::Usage => "usage",
            Self::Syscall => "syscall",
            Self::SyscallLatency => "syscall_latency",
            Self::Block => "block",
            Self::Process => "process",
            Self::Loss => "loss",
            Self::KubeEvent => "kube_event",
            Self::ObjectChange => "object_change",
            Self::Span => "span",
            Self::Request => "request",
        }
    }

    /// What the ledger of losses calls rows that were meant for it.
    pub fn signal(self) -> &'static str {
        match self {
            Self::Drop => "flow",
            Self::SyscallLatency => "syscall",
            Self::Request => "span",
            Self::KubeEvent | Self::ObjectChange => "kubernetes",
            other => other.name(),
        }
    }

    /// The table of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    /// The columns that a scan yields. `log.body` is Utf8 here (lossy); [`log_schema`] has it as it was received.
    pub fn schema(self) -> SchemaRef {
        static SCHEMAS: LazyLock<Vec<SchemaRef>> =
            LazyLock::new(|| Table::ALL.iter().map(|table| table.build_schema(Kind::BodyText)).collect());
        Arc::clone(&SCHEMAS[self.index()])
    }

    /// The columns of `data.parquet`: those of [`Self::schema`] without the body, which has a file of its own. Files of the
    /// log have what `observed_ts` is made of in its place.
    pub(crate) fn file_schema(self) -> SchemaRef {
        static SCHEMAS: LazyLock<Vec<SchemaRef>> = LazyLock::new(|| {
            Table::ALL
                .iter()
                .map(|table| {
                    let columns = table.columns();
                    let fields = columns.iter().filter(|column| column.kind != Kind::BodyText);
                    Arc::new(Schema::new(fields.map(Column::file_field).collect::<Vec<_>>()))
                })
                .collect()
        });
        Arc::clone(&SCHEMAS[self.index()])
    }

    /// The columns whose texts are searched by words; of a map its values. None: the table has no such texts.
    pub fn texts(self) -> &'static [&'static str] {
        match self {
            Self::Span => &["name", "status_message", "attributes", "events"],
            Self::Process => &["executable", "arguments"],
            Self::KubeEvent => &["reason", "note", "regarding_name"],
            Self::ObjectChange => &["name", "diff"],
            _ => &[],
        }
    }

    /// The columns by which a segment's rows are sorted; `ts` and `lsn` follow, of the log `lsn` alone.
    pub(crate) fn sort_columns(self) -> &'static [&'static str] {
        match self {
            Self::Log | Self::Flow | Self::Drop | Self::Block | Self::Request => &["namespace", "workload"],
            Self::Usage | Self::Syscall | Self::SyscallLatency => &["namespace", "workload", "pod"],
            Self::Process => &["node"],
            Self::KubeEvent | Self::ObjectChange => &["namespace"],
            Self::Loss | Self::Span => &[],
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }

    fn build_schema(self, body: Kind) -> SchemaRef {
        let fields = self.columns().into_iter().map(|column| {
            let kind = if column.kind == Kind::BodyText { body } else { column.kind };
            Column { kind, ..column }.field()
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// Every column in order.
    pub(crate) fn columns(self) -> Vec<Column> {
        columns::of(self)
    }
}

/// The columns that a log query yields: those of `Table::Log`, with `body` as Binary, byte for byte.
pub fn log_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Table::Log.build_schema(Kind::BodyBytes));
    Arc::clone(&SCHEMA)
}

#[cfg(test)]
mod tests;
