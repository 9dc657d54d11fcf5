//! Probes: one eBPF hook family each, that runs, is disabled, unsupported or failed on its own.
//!
//! A probe attaches its object and drains its maps and rings; the bytes are interpreted in `decode`.
//! Flow: `Probe::attach` → `Box<dyn Running>` → `poll` (rings, when they wake or each 100 ms) and `drain`
//! (maps, at the end of each window) → `Sink` → identity, window, export.

pub mod block;
pub mod cgroups;
pub mod flows;
mod growing;
pub mod process;
pub mod requests;
pub mod sched;
pub mod syscalls;
pub mod tls;

use std::os::fd::RawFd;

use crate::kernel::load::ProgramReport;
use crate::kernel::{KernelFeatures, Settings};
use crate::window::Window;
use crate::window::sample::{CgroupEvent, Loss, Sample};

/// How a probe begins.
pub type Attach = fn(&KernelFeatures, &Settings) -> Result<Box<dyn Running>, AttachError>;

/// A row of the `PROBES` table.
#[derive(Debug)]
pub struct Probe {
    /// The name in config, `/probes`, the gauge and the status.
    pub name: &'static str,
    /// The probe, earlier in the table, without which it has no use: it goes and comes back with that.
    pub needs: Option<&'static str>,
    /// Loads and attaches the programs; the error becomes the probe's state.
    pub attach: Attach,
}

/// An attached probe. Dropping it detaches every program.
pub trait Running: Send {
    /// What works only in part here, e.g. `drop_reason: kernel < 5.17`.
    fn missing(&self) -> Vec<String> {
        Vec::new()
    }

    /// Each program of its object, for the table kernel × probe × program.
    fn programs(&self) -> Vec<ProgramReport> {
        Vec::new()
    }

    /// File descriptors of rings whose readiness asks for `poll`.
    fn wake_fds(&self) -> Vec<RawFd> {
        Vec::new()
    }

    /// Gives up or takes up again what this probe can do without while the agent is over its budget.
    ///
    /// # Errors
    /// When the programs could not be detached or attached; the probe runs on as it was.
    fn detail(&mut self, _on: bool) -> Result<(), AttachError> {
        Ok(())
    }

    /// Empties rings into the sink; bounded work per call.
    fn poll(&mut self, _sink: &mut Sink) {}

    /// At a window's end: reads what the kernel summed up during it.
    fn drain(&mut self, window: Window, sink: &mut Sink);
}

/// Where probes put what they read.
#[derive(Debug, Default)]
pub struct Sink {
    /// Rows whose owner is not yet named.
    pub samples: Vec<Sample>,
    /// What was lost on the way here.
    pub losses: Vec<Loss>,
    /// Births and deaths of cgroups, in order; handled before `samples`.
    pub cgroups: Vec<CgroupEvent>,
}

/// Why a probe does not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// Switched off in the config.
    #[error("disabled: {0}")]
    Disabled(String),
    /// This kernel or host lacks what the probe needs: `no_btf`, `hook_missing`, `arch`, `no_cgroup2`, `map_type`.
    #[error("{code}: {detail}")]
    Unsupported {
        /// Machine-readable reason.
        code: &'static str,
        /// A sentence for people: what is missing and how to get it.
        detail: String,
    },
    /// It should have worked: `verifier`, `permission`, `offset_mismatch`, `denylisted_kernel`, `conflict`, `object`.
    #[error("{code}: {detail}")]
    Failed {
        /// Machine-readable reason.
        code: &'static str,
        /// A sentence for people, with the errno or the tail of the verifier's log.
        detail: String,
    },
}

impl AttachError {
    /// Its code, and the sentence.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Disabled(why) => ("disabled", why),
            Self::Unsupported { code, detail } | Self::Failed { code, detail } => (code, detail),
        }
    }
}
