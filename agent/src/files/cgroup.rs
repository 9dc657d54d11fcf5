//! Reads one cgroup's files: v2 first, and what v2 lacks here from v1, joined by path.
//!
//! Files that are read each window stay open within a budget; beyond it they are opened and closed again.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::parse;
use super::reading::{Counter, Reading};
use crate::kernel::mounts::Mounts;

/// What v1 calls "no limit" is a number close to 2^63, rounded down to a page.
const V1_UNLIMITED: u64 = 1 << 62;
/// How many reads a missing file is left alone.
const ABSENT_READS: u8 = 6;

/// A file, its path, and the descriptor while it is kept.
#[derive(Debug)]
struct Source {
    path: PathBuf,
    open: Option<File>,
    /// Reads to go until a file that was missing is looked for again.
    absent_for: u8,
}

/// The files of one cgroup.
#[derive(Debug)]
pub(super) struct Files {
    path: String,
    /// By whether it is of the v2 hierarchy, and name.
    sources: BTreeMap<(bool, &'static str), Source>,
}

/// How many descriptors may stay open, and how many are.
#[derive(Debug)]
pub(super) struct Budget {
    pub(super) most: usize,
    pub(super) open: usize,
}

impl Files {
    pub(super) fn new(path: &str) -> Self {
        Self { path: path.to_owned(), sources: BTreeMap::new() }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Gives its descriptors back.
    pub(super) fn close(&mut self, budget: &mut Budget) {
        for source in self.sources.values_mut() {
            if source.open.take().is_some() {
                budget.open = budget.open.saturating_sub(1);
            }
        }
    }

    /// Reads everything that is there.
    pub(super) fn read(&mut self, mounts: &Mounts, budget: &mut Budget, scratch: &mut Vec<u8>) -> Reading {
        let mut reading = Reading::default();
        let mut reader = Reader { files: self, mounts, budget, scratch };
        reader.v2(&mut reading);
        reader.v1(&mut reading);
        reading
    }
}

struct Reader<'a> {
    files: &'a mut Files,
    mounts: &'a Mounts,
    budget: &'a mut Budget,
    scratch: &'a mut Vec<u8>,
}

impl Reader<'_> {
    /// The text of `<hierarchy>/<path>/<name>`; `None` when it cannot be read. Controllers
    /// rarely come and go under a living cgroup, so a missing file is looked for again only now and then.
    fn text(&mut self, hierarchy: Option<&Path>, name: &'static str) -> Option<&str> {
        let hierarchy = hierarchy?;
        let is_v2 = self.mounts.cgroup2.as_deref() == Some(hierarchy);
        let relative = self.files.path.trim_start_matches('/');
        let source = self.files.sources.entry((is_v2, name)).or_insert_with(|| Source {
            path: hierarchy.join(relative).join(name),
            open: None,
            absent_for: 0,
        });
        if source.absent_for > 0 {
            source.absent_for -= 1;
            return None;
        }
        if source.open.is_none() {
            match File::open(&source.path) {
                Ok(file) => {
                    source.open = Some(file);
                    self.budget.open += 1;
                }
                Err(error) => {
                    // out of descriptors is not absent: the next window may have one
                    if !is_out_of_files(&error) {
                        source.absent_for = ABSENT_READS;
                    }
                    return None;
                }
            }
        }
        let file = source.open.as_ref()?;
        let length = read_whole(file, self.scratch);
        if length.is_none() || self.budget.open > self.budget.most {
            source.open = None;
            self.budget.open = self.budget.open.saturating_sub(1);
        }
        std::str::from_utf8(self.scratch.get(..length?)?).ok()
    }

    fn v2(&mut self, reading: &mut Reading) {
        let mounts = self.mounts;
        let root = mounts.cgroup2.as_deref();
        let micros = |value: Option<u64>| value.map(|micros| micros.saturating_mul(1000));
        if let Some(text) = self.text(root, "cpu.stat") {
            reading.set(Counter::CpuUsageNs, micros(parse::keyed(text, "usage_usec")));
            reading.set(Counter::CpuUserNs, micros(parse::keyed(text, "user_usec")));
            reading.set(Counter::CpuSystemNs, micros(parse::keyed(text, "system_usec")));
            reading.set(Counter::Periods, parse::keyed(text, "nr_periods"));
            reading.set(Counter::ThrottledPeriods, parse::keyed(text, "nr_throttled"));
            reading.set(Counter::ThrottledNs, micros(parse::keyed(text, "throttled_usec")));
        }
        reading.cpu_limit_cores = self.text(root, "cpu.max").and_then(parse::cpu_max);
        reading.memory_current = self.text(root, "memory.current").and_then(parse::single);
        reading.memory_peak = self.text(root, "memory.peak").and_then(parse::single);
        reading.memory_limit = self.text(root, "memory.max").and_then(parse::single);
        if let Some(current) = reading.memory_current {
            let inactive =
                self.text(root, "memory.stat").and_then(|text| parse::keyed(text, "inactive_file"));
            reading.memory_working_set = inactive.map(|inactive| current.saturating_sub(inactive));
        }
        if let Some(text) = self.text(root, "memory.events") {
            reading.set(Counter::EventsMax, parse::keyed(text, "max"));
            reading.set(Counter::EventsOom, parse::keyed(text, "oom"));
            reading.set(Counter::EventsOomKill, parse::keyed(text, "oom_kill"));
        }
        if let Some(io) = self.text(root, "io.stat").map(parse::io_stat) {
            reading.set(Counter::IoReadBytes, Some(io.read_bytes));
            reading.set(Counter::IoWriteBytes, Some(io.write_bytes));
            reading.set(Counter::IoReadOps, Some(io.read_ops));
            reading.set(Counter::IoWriteOps, Some(io.write_ops));
        }
        reading.pids_current = self.text(root, "pids.current").and_then(parse::single);
        reading.pids_limit = self.text(root, "pids.max").and_then(parse::single);
        let cpu = self.text(root, "cpu.pressure").and_then(|text| parse::pressure(text, "some"));
        reading.set(Counter::PsiCpuSome, cpu);
        if let Some(text) = self.text(root, "memory.pressure") {
            reading.set(Counter::PsiMemorySome, parse::pressure(text, "some"));
            reading.set(Counter::PsiMemoryFull, parse::pressure(text, "full"));
        }
        if let Some(text) = self.text(root, "io.pressure") {
            reading.set(Counter::PsiIoSome, parse::pressure(text, "some"));
            reading.set(Counter::PsiIoFull, parse::pressure(text, "full"));
        }
    }

    /// Only what v2 did not give: each controller is mounted in one of the two.
    fn v1(&mut self, reading: &mut Reading) {
        let mounts = self.mounts;
        let mount = |controller: &str| mounts.v1.get(controller).map(PathBuf::as_path);
        if reading.get(Counter::CpuUsageNs).is_none() {
            let usage = self.text(mount("cpuacct"), "cpuacct.usage").and_then(parse::single);
            reading.set(Counter::CpuUsageNs, usage);
            let user = self.text(mount("cpuacct"), "cpuacct.usage_user").and_then(parse::single);
            reading.set(Counter::CpuUserNs, user);
            let system = self.text(mount("cpuacct"), "cpuacct.usage_sys").and_then(parse::single);
            reading.set(Counter::CpuSystemNs, system);
        }
        if let Some(cpu) = mount("cpu").filter(|_| reading.get(Counter::Periods).is_none()) {
            self.v1_throttling(cpu, reading);
        }
        if let Some(memory) = mount("memory").filter(|_| reading.memory_current.is_none()) {
            self.v1_memory(memory, reading);
        }
        if let Some(blkio) = mount("blkio").filter(|_| reading.get(Counter::IoReadBytes).is_none()) {
            let bytes = self.text(Some(blkio), "blkio.throttle.io_service_bytes").and_then(parse::blkio);
            reading.set(Counter::IoReadBytes, bytes.map(|(read, _)| read));
            reading.set(Counter::IoWriteBytes, bytes.map(|(_, write)| write));
            let operations = self.text(Some(blkio), "blkio.throttle.io_serviced").and_then(parse::blkio);
            reading.set(Counter::IoReadOps, operations.map(|(read, _)| read));
            reading.set(Counter::IoWriteOps, operations.map(|(_, write)| write));
        }
        if let Some(pids) = mount("pids").filter(|_| reading.pids_current.is_none()) {
            reading.pids_current = self.text(Some(pids), "pids.current").and_then(parse::single);
            reading.pids_limit = self.text(Some(pids), "pids.max").and_then(parse::single);
        }
    }

    fn v1_throttling(&mut self, cpu: &Path, reading: &mut Reading) {
        if let Some(text) = self.text(Some(cpu), "cpu.stat") {
            reading.set_if_absent(Counter::Periods, parse::keyed(text, "nr_periods"));
            reading.set_if_absent(Counter::ThrottledPeriods, parse::keyed(text, "nr_throttled"));
            reading.set_if_absent(Counter::ThrottledNs, parse::keyed(text, "throttled_time"));
        }
        let quota = self.text(Some(cpu), "cpu.cfs_quota_us").and_then(|text| text.trim().parse().ok());
        let period = self.text(Some(cpu), "cpu.cfs_period_us").and_then(|text| text.trim().parse().ok());
        if let (Some(quota), Some(period)) = (quota, period) {
            reading.cpu_limit_cores = reading.cpu_limit_cores.or(parse::cores(quota, period));
        }
    }

    fn v1_memory(&mut self, memory: &Path, reading: &mut Reading) {
        let root = Some(memory);
        let below_limit = |limit: &u64| *limit < V1_UNLIMITED;
        reading.memory_current = self.text(root, "memory.usage_in_bytes").and_then(parse::single);
        reading.memory_peak = self.text(root, "memory.max_usage_in_bytes").and_then(parse::single);
        reading.memory_limit =
            self.text(root, "memory.limit_in_bytes").and_then(parse::single).filter(below_limit);
        let inactive =
            self.text(root, "memory.stat").and_then(|text| parse::keyed(text, "total_inactive_file"));
        if let (Some(current), Some(inactive)) = (reading.memory_current, inactive) {
            reading.memory_working_set = Some(current.saturating_sub(inactive));
        }
        let failed = self.text(root, "memory.failcnt").and_then(parse::single);
        reading.set(Counter::EventsMax, failed);
        let killed = self.text(root, "memory.oom_control").and_then(|text| parse::keyed(text, "oom_kill"));
        reading.set(Counter::EventsOomKill, killed);
    }
}

fn is_out_of_files(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Reads the file from its start into the scratch buffer; the largest, `memory.stat`, is a few KiB.
fn read_whole(file: &File, scratch: &mut Vec<u8>) -> Option<usize> {
    if scratch.len() < 16 << 10 {
        scratch.resize(16 << 10, 0);
    }
    let mut length = 0;
    loop {
        match file.read_at(scratch.get_mut(length..)?, length as u64) {
            Ok(0) => return Some(length),
            Ok(read) => length += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
        if length == scratch.len() {
            return Some(length);
        }
    }
}
