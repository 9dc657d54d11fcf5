//! Programs at functions of programs and libraries.
//!
//! By `uprobe_multi` links (kernel 6.6), which need BPF and PERFMON alone and take all places of a file at once; on older
//! kernels by perf events, which need SYS_ADMIN and are slow to take back. aya 0.14 has the second only, and the first
//! wants another kind of load: so objects of such programs are loaded here, from what aya-obj makes of them.

mod attach;
mod load;
mod sys;

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd as _, OwnedFd};

use aya::maps::{Map, MapData};

use crate::kernel::KernelFeatures;
use crate::kernel::info::skipped_runs;
use crate::kernel::load::ProgramReport;
use crate::kernel::losses::Losses;
use crate::probe::AttachError;

pub use attach::{Hook, Place};
pub use load::Plan;
pub(super) use load::load;

/// How programs get to their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `uprobe_multi` links.
    Multi,
    /// A perf event for each place.
    Perf {
        /// The kernel's number for this kind of event.
        kind: u32,
        /// The bit of `config` that asks for the return.
        return_bit: u32,
    },
}

/// An object whose programs are in the kernel, attached nowhere yet.
#[derive(Debug)]
pub struct Uprobes {
    probe: &'static str,
    way: Way,
    programs: BTreeMap<String, OwnedFd>,
    /// Programs that the kernel did not take, and what is missing for that.
    refused: BTreeMap<String, String>,
    /// `LOST`, until it is taken.
    lost: Option<Map>,
    /// The others: the kernel empties a program array when nobody has it open.
    _maps: Vec<MapData>,
    reports: Vec<ProgramReport>,
}

impl Uprobes {
    /// How programs get to their places here.
    pub fn way(&self) -> Way {
        self.way
    }

    /// Each program.
    pub fn programs(&self) -> Vec<ProgramReport> {
        self.reports.clone()
    }

    /// What is missing because the kernel did not take a program, a line each.
    pub fn missing(&self) -> Vec<String> {
        self.refused.values().cloned().collect()
    }

    /// The kernel did not take a program, without which this is missing.
    fn refuse(&mut self, program: &str, what: &str, error: &AttachError) {
        tracing::warn!(program, %error, "the kernel did not take a program");
        let error = error.to_string();
        let first = error.lines().next().unwrap_or_default();
        self.refused.insert(program.to_owned(), format!("{what}: {first}"));
    }

    /// What became of a program: how many instructions the verifier went through, or why it was refused.
    fn report(&mut self, program: &str, loaded: Result<Option<u32>, &AttachError>) {
        let hook = if self.way == Way::Multi { "uprobe_multi" } else { "uprobe" };
        let (state, reason) = loaded.err().map_or(("running", ""), AttachError::parts);
        self.reports.push(ProgramReport {
            program: program.to_owned(),
            hook: hook.to_owned(),
            state: state.to_owned(),
            verified_insns: loaded.ok().flatten(),
            reason: reason.to_owned(),
        });
    }

    /// What the kernel counts of runs that it skipped.
    pub fn skipped(&self) -> Skipped {
        let programs = self.programs.values().filter_map(|program| program.try_clone().ok()).collect();
        Skipped { programs, reported: 0 }
    }

    /// Takes `LOST`; what it counts is booked under `signal`.
    pub fn losses(&mut self, features: &KernelFeatures, signal: &'static str) -> Result<Losses, AttachError> {
        let failed = |detail: String| AttachError::Failed { code: "object", detail };
        let map = self.lost.take().ok_or_else(|| failed(format!("object {} has no map LOST", self.probe)))?;
        Losses::new(map, features, signal)
            .map_err(|error| failed(format!("map LOST of {}: {error}", self.probe)))
    }
}

/// Runs that the kernel skipped because a program was under way on that CPU.
#[derive(Debug)]
pub struct Skipped {
    programs: Vec<OwnedFd>,
    reported: u64,
}

impl Skipped {
    /// How many since the last call.
    pub fn drain(&mut self) -> u64 {
        let total: u64 = self.programs.iter().map(|program| skipped_runs(program.as_raw_fd())).sum();
        let count = total.saturating_sub(self.reported);
        self.reported = total;
        count
    }
}
