//! Labels of the agent's own metrics: few, and of closed sets.

use prometheus_client::encoding::EncodeLabelSet;

/// A stage of the pipeline.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct StageLabels {
    /// kernel | identity | window | spool | export
    pub stage: String,
    /// The table of the rows.
    pub signal: String,
}

/// A probe.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ProbeLabels {
    /// Its name.
    pub probe: String,
}

/// A probe's state.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ProbeStateLabels {
    /// Its name.
    pub probe: String,
    /// running | disabled | unsupported | failed
    pub state: String,
    /// The code of the reason, `''` while it runs.
    pub reason: String,
}

/// How true a window was to its length.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ExtentLabels {
    /// whole | partial | stretched
    pub extent: String,
}

/// What the budget can shed.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct PartLabels {
    /// request_spans | syscall_latency | run_queue | flow_peers | requests
    pub part: String,
}

/// One label that is a signal.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct SignalLabels {
    /// The ledger's name of it.
    pub signal: String,
}

/// One label that is an error code.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct CodeLabels {
    /// The aggregator's `ErrorCode`.
    pub code: String,
}

/// One label that is a kind of name.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct KindLabels {
    /// cgroup | tombstone | executable
    pub kind: String,
}
