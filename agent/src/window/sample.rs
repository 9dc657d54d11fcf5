//! What decoders yield: rows that know their owner's key but not yet its name.

use proto::v1;

use super::span::Spans;

/// A row and whom it is about.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Resolved to an `Identity` by `identity`.
    pub owner: Owner,
    /// The row; its `identity` index, and for window rows `ts` and `window_s`, are filled in by `window`.
    pub row: Row,
}

/// The key under which an owner is known on this node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// `agent_common::workload::WorkloadKey`: a cgroup id, or `HOST_BIT | hash of comm` for tasks of the root cgroup.
    Workload(u64),
    /// The root cgroup's executable, by name.
    Host(String),
    /// A container of a pod, as the path of its log names it.
    Pod(Box<PodContainer>),
    /// A container by its runtime's id, whose cgroup is not where it was looked for: below a pod, or gone.
    Container(String),
    /// A log file that no process of a known cgroup writes.
    File(String),
    /// A workload that the config names for a glob.
    Named(String),
}

/// What `/var/log/pods/<namespace>_<pod>_<uid>/<container>/` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodContainer {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's uid; of a static pod the hash of its manifest.
    pub uid: String,
    /// The container's name.
    pub container: String,
}

/// One row of one signal.
#[derive(Clone, Debug)]
pub enum Row {
    /// Flow
    Flow(Box<v1::FlowRow>),
    /// Dropped packets
    Drop(v1::DropRow),
    /// Resource usage
    Usage(Box<v1::UsageRow>),
    /// Run queue and switches of a workload; merged into its usage row by `window`.
    RunQueue(RunQueue),
    /// Syscall counts
    Syscall(v1::SyscallRow),
    /// Syscall latency
    SyscallLatency(v1::SyscallLatencyRow),
    /// Block I/O
    Block(v1::BlockRow),
    /// Requests, counted
    Request(Box<v1::RequestRow>),
    /// Process event; `ts` is already set
    Process(Box<v1::ProcessRow>),
    /// Log line; `ts` is already set
    Log(Box<v1::LogRow>),
    /// Spans, complete but for whose they are
    Spans(Spans),
}

impl Row {
    /// How many rows of its table it is.
    pub fn count(&self) -> u64 {
        if let Self::Spans(spans) = self { spans.count() } else { 1 }
    }
}

/// What the sched probe knows of one workload in one window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunQueue {
    /// Delay between wake-up and running, the common histogram layout.
    pub hist: Vec<u32>,
    /// Context switches that the task asked for.
    pub voluntary: u64,
    /// Context switches that it did not.
    pub involuntary: u64,
}

/// A cgroup's birth or death, in the order in which the kernel did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CgroupEvent {
    /// The directory was made, or found by a walk.
    Made {
        /// Inode of the cgroup2 directory.
        id: u64,
        /// Its path from the hierarchy's root.
        path: String,
    },
    /// The directory was removed; its name outlives it.
    Removed {
        /// Inode of the cgroup2 directory.
        id: u64,
    },
    /// A task of the root cgroup was seen: the name behind a `HOST_BIT` key.
    HostComm {
        /// `HOST_BIT | hash`
        key: u64,
        /// The executable's name, at most 15 bytes.
        comm: String,
    },
    /// Events were lost: walk the tree again.
    Lost,
}

/// Something was lost, and where; becomes a `LossRow`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Loss {
    /// flow | log | usage | syscall | process | block | identity
    pub signal: &'static str,
    /// kernel | decode | identity | window | spool | export
    pub stage: &'static str,
    /// map_full | ring_full | slot_collision | ...
    pub reason: &'static str,
    /// How many, since the last report.
    pub count: u64,
}
