//! What the files of one cgroup say at one time, and the row that lies between two such readings. Pure.

use proto::v1;

/// Counters that only grow while a cgroup lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Counter {
    CpuUsageNs,
    CpuUserNs,
    CpuSystemNs,
    Periods,
    ThrottledPeriods,
    ThrottledNs,
    EventsMax,
    EventsOom,
    EventsOomKill,
    IoReadBytes,
    IoWriteBytes,
    IoReadOps,
    IoWriteOps,
    PsiCpuSome,
    PsiMemorySome,
    PsiMemoryFull,
    PsiIoSome,
    PsiIoFull,
}

const COUNTERS: usize = 18;

/// One reading; what could not be read is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reading {
    counters: [Option<u64>; COUNTERS],
    pub(super) cpu_limit_cores: Option<f64>,
    pub(super) memory_current: Option<u64>,
    pub(super) memory_working_set: Option<u64>,
    pub(super) memory_peak: Option<u64>,
    pub(super) memory_limit: Option<u64>,
    pub(super) pids_current: Option<u64>,
    pub(super) pids_limit: Option<u64>,
}

impl Reading {
    /// A cgroup at its birth: everything that counts is zero, so that the first reading counts in full.
    pub(super) fn birth() -> Self {
        Self { counters: [Some(0); COUNTERS], ..Self::default() }
    }

    pub(super) fn set(&mut self, counter: Counter, value: Option<u64>) {
        self.counters[counter as usize] = value;
    }

    /// Keeps what is there already.
    pub(super) fn set_if_absent(&mut self, counter: Counter, value: Option<u64>) {
        let slot = &mut self.counters[counter as usize];
        *slot = slot.or(value);
    }

    pub(super) fn get(&self, counter: Counter) -> Option<u64> {
        self.counters[counter as usize]
    }

    /// Whether nothing at all could be read: the cgroup has gone.
    pub(super) fn is_empty(&self) -> bool {
        self.counters.iter().all(Option::is_none)
            && self.memory_current.is_none()
            && self.pids_current.is_none()
    }

    /// The row from `before` to this reading. A counter that fell belongs to a new cgroup of the same path: all of it is
    /// new. A counter that was absent before is absent in the row, since nobody knows its start.
    pub(super) fn since(&self, before: &Self) -> v1::UsageRow {
        let fell = self.counters.iter().zip(&before.counters).any(|(now, then)| now < then && now.is_some());
        let delta = |counter: Counter| {
            let now = self.get(counter)?;
            if fell { Some(now) } else { before.get(counter).map(|then| now.saturating_sub(then)) }
        };
        v1::UsageRow {
            cpu_usage_ns: delta(Counter::CpuUsageNs),
            cpu_user_ns: delta(Counter::CpuUserNs),
            cpu_system_ns: delta(Counter::CpuSystemNs),
            cpu_periods: delta(Counter::Periods),
            cpu_throttled_periods: delta(Counter::ThrottledPeriods),
            cpu_throttled_ns: delta(Counter::ThrottledNs),
            cpu_limit_cores: self.cpu_limit_cores,
            memory_current: self.memory_current,
            memory_working_set: self.memory_working_set,
            memory_peak: self.memory_peak,
            memory_limit: self.memory_limit,
            memory_events_max: delta(Counter::EventsMax),
            memory_events_oom: delta(Counter::EventsOom),
            memory_events_oom_kill: delta(Counter::EventsOomKill),
            pids_current: self.pids_current,
            pids_limit: self.pids_limit,
            io_read_bytes: delta(Counter::IoReadBytes),
            io_write_bytes: delta(Counter::IoWriteBytes),
            io_read_ops: delta(Counter::IoReadOps),
            io_write_ops: delta(Counter::IoWriteOps),
            psi_cpu_some_us: delta(Counter::PsiCpuSome),
            psi_memory_some_us: delta(Counter::PsiMemorySome),
            psi_memory_full_us: delta(Counter::PsiMemoryFull),
            psi_io_some_us: delta(Counter::PsiIoSome),
            psi_io_full_us: delta(Counter::PsiIoFull),
            ..v1::UsageRow::default()
        }
    }
}

/// Whether a row says anything at all.
pub(crate) fn has_content(row: &v1::UsageRow) -> bool {
    let blank =
        v1::UsageRow { identity: row.identity, ts: row.ts, window_s: row.window_s, ..Default::default() };
    *row != blank
}
