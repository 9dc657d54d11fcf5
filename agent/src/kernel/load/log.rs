//! The programs' own debug lines (aya-log) into the agent's log.

use aya::Ebpf;
use aya_log::EbpfLogger;

/// The log ring of one object.
pub(super) struct ProgramLog {
    logger: EbpfLogger<Forward>,
}

impl std::fmt::Debug for ProgramLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProgramLog").finish_non_exhaustive()
    }
}

impl ProgramLog {
    /// `None` for an object that logs nothing.
    pub(super) fn new(probe: &'static str, ebpf: &mut Ebpf) -> Option<Self> {
        match EbpfLogger::init_with_logger(ebpf, Forward { probe }) {
            Ok(logger) => Some(Self { logger }),
            Err(error) => {
                tracing::debug!(probe, %error, "no program log");
                None
            }
        }
    }

    pub(super) fn flush(&mut self) {
        self.logger.flush();
    }
}

/// `log` records as `tracing` events of the probe.
struct Forward {
    probe: &'static str,
}

impl log::Log for Forward {
    fn enabled(&self, _metadata: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let probe = self.probe;
        match record.level() {
            log::Level::Error => tracing::error!(target: "wake_ebpf", probe, "{}", record.args()),
            log::Level::Warn => tracing::warn!(target: "wake_ebpf", probe, "{}", record.args()),
            log::Level::Info => tracing::info!(target: "wake_ebpf", probe, "{}", record.args()),
            log::Level::Debug | log::Level::Trace => {
                tracing::debug!(target: "wake_ebpf", probe, "{}", record.args())
            }
        }
    }

    fn flush(&self) {}
}
