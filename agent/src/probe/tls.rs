//! TLS: plaintext of connections, as TLS libraries read and write it, for the probe `requests`.
//!
//! Hooks: OpenSSL's `SSL_read`, `SSL_write`, their `_ex` forms and `SSL_do_handshake`; `Read` and `Write` of Go's `tls.Conn`,
//! and where `net/http`'s client hands a request to a connection, and it or grpc-go serves or opens a stream: which goroutine's it
//! is.
//! Kernel: `uprobe_multi` links from 6.6 on, before that perf events with SYS_ADMIN; 5.10 with BTF.
//! Maps: the ring, the connections and `INSIDE` of `requests`, which decodes what is found here.
//! A thread of its own looks for libraries in processes; what was found and cannot be read is a `missing` of this probe.
//! Does not: see rustls, GnuTLS, Java, BoringSSL without symbols, or what the kernel encrypts itself.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use agent_common::requests::FIELDS;
use agent_common::tls::{LAYOUT, TAIL_FRAMES, TAIL_PLAIN, TAIL_UNDERSTAND};

use super::{AttachError, Probe, Running, Sink};
use crate::kernel::load::{Loader, ProgramReport};
use crate::kernel::losses::Losses;
use crate::kernel::uprobe::{Plan, Skipped, Uprobes, Way};
use crate::kernel::{KernelFeatures, Settings, TlsMode, clock};
use crate::tls::processes::Processes;
use crate::tls::watch::Watch;
use crate::window::Window;
use crate::window::sample::Loss;

/// The row of the probe table.
pub const PROBE: Probe = Probe { name: "tls", needs: Some("requests"), attach };

/// Maps of the requests object that this one uses.
pub(super) const SHARED: [&str; 4] = ["RECORDS", "CONNS", "INSIDE", "SERVING_BY_TID"];

/// Most places with programs: by links, and by perf events, each of which takes tens of milliseconds to go.
const MOST_PLACES: usize = 16_384;
const MOST_PERF_PLACES: usize = 128;
/// Between two steps of the watch, when nothing waits.
const STEP: Duration = Duration::from_millis(200);
/// How long its end is waited for: less than the agent has for its own.
const END: Duration = Duration::from_secs(1);

/// The first kernel on which programs at libraries have met faults: from here on functions return from under a program by
/// a syscall (x86-64), which seccomp's filters refuse before 6.14, and from 6.13 on programs may have a stack per CPU.
const CAREFUL_FROM: (u32, u32) = (6, 11);

/// Whether the probe is to run here, and why not.
pub(super) fn is_wanted(features: &KernelFeatures, settings: &Settings) -> Result<(), AttachError> {
    let is_off = |probe: &str| settings.disabled.iter().any(|name| name == probe);
    let version = features.version();
    let why = if is_off("tls") || settings.tls == TlsMode::Off {
        "by the config".to_owned()
    } else if is_off("requests") {
        "works with the probe requests only, which is off".to_owned()
    } else if settings.tls == TlsMode::Auto && (version >= CAREFUL_FROM || version == (0, 0)) {
        format!(
            "from kernel 6.11 on only with probes.tls.mode: always (this is {}): before 6.14 (and where its mend was \
             not backported) a filter of seccomp that does not know the call uretprobe ends processes that have one, and from 6.13 \
             on programs at libraries can be preempted on stacks that belong to a CPU",
            features.release
        )
    } else {
        return Ok(());
    };
    Err(AttachError::Disabled(why))
}

struct Tls {
    /// Dropped before the thread is waited for: that ends it.
    stop: Option<SyncSender<()>>,
    /// Set then: it does not read on.
    is_over: Arc<AtomicBool>,
    watch: Option<JoinHandle<()>>,
    /// Closed when it has ended, and its programs are gone.
    ended: Receiver<()>,
    /// What was found and cannot be read, a line each.
    lines: Arc<Mutex<Vec<String>>>,
    /// For programs that the kernel did not take.
    refused: Vec<String>,
    programs: Vec<ProgramReport>,
    losses: Losses,
    skipped: Skipped,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("programs", &self.programs).finish_non_exhaustive()
    }
}

fn attach(features: &KernelFeatures, settings: &Settings) -> Result<Box<dyn Running>, AttachError> {
    is_wanted(features, settings)?;
    let (low, high) = super::flows::ports::ephemeral();
    let looped = features.makes_loops;
    let frames: &[&str] = if looped { &["tls_frames_looped", "tls_frames"] } else { &["tls_frames"] };
    let mut programs = Loader::new("tls", crate::ebpf_object!("tls"), features, settings)?
        .layout(LAYOUT)?
        .cgroup2()?
        .fields(FIELDS)?
        .global_u32("EPHEMERAL_LOW", u32::from(low))
        .global_u32("EPHEMERAL_HIGH", u32::from(high))
        .load_uprobes(&Plan {
            shared: &SHARED,
            tails: &[
                (&["tls_plain"], TAIL_PLAIN),
                (&["tls_understand"], TAIL_UNDERSTAND),
                (frames, TAIL_FRAMES),
            ],
            without: if looped { &[] } else { &["tls_frames_looped"] },
            optional: &[
                ("tls_frames_looped", super::requests::MANY_STREAMS),
                ("tls_grpc_", "which request a goroutine of grpc-go serves"),
                ("tls_go_served", "what a goroutine of HTTP/2 writes itself"),
                ("tls_h2_", "which request of HTTP/2 a goroutine of net/http serves"),
            ],
        })?;
    let losses = programs.losses(features, "span")?;
    let (reports, refused, skipped) = (programs.programs(), programs.missing(), programs.skipped());
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (stop, stopped) = sync_channel(0);
    let is_over = Arc::new(AtomicBool::new(false));
    let (shared, over) = (Arc::clone(&lines), Arc::clone(&is_over));
    let processes = Processes::new(Path::new("/proc"), within(features, settings));
    let (alive, ended) = sync_channel(0);
    let work = move || {
        // goes last, whatever happens
        let _alive = alive;
        let programs = programs;
        run(&programs, processes, &stopped, over, &shared);
    };
    let watch = std::thread::Builder::new()
        .name("wake-tls".to_owned())
        .spawn(work)
        .map_err(|error| AttachError::Failed { code: "object", detail: format!("thread: {error}") })?;
    Ok(Box::new(Tls {
        stop: Some(stop),
        is_over,
        watch: Some(watch),
        ended,
        lines,
        refused,
        programs: reports,
        losses,
        skipped,
    }))
}

/// The cgroup whose processes are looked at, where it is not all of them: a test's, or the node's where it is a part.
fn within(features: &KernelFeatures, settings: &Settings) -> Option<PathBuf> {
    let node = features.cgroup2.as_ref().filter(|_| features.node.level > 0);
    settings.attach_cgroup.as_ref().or(node).cloned()
}

/// Watches processes until the sender is gone; then everything is detached.
fn run(
    programs: &Uprobes,
    processes: Processes,
    stopped: &Receiver<()>,
    is_over: Arc<AtomicBool>,
    lines: &Mutex<Vec<String>>,
) {
    let most = if programs.way() == Way::Multi { MOST_PLACES } else { MOST_PERF_PLACES };
    let attach = |file: &std::fs::File, places: &[_]| {
        let hook = programs.attach(file, places)?;
        let count = hook.places();
        Ok((hook, count))
    };
    let mut watch = Watch::new(processes, most, attach).until(is_over);
    loop {
        let has_more = watch.step(clock::monotonic_ns());
        if let Some(told) = watch.told() {
            *lines.lock().unwrap_or_else(PoisonError::into_inner) = told.lines;
        }
        let wait = if has_more { STEP / 10 } else { STEP };
        if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

impl Running for Tls {
    fn missing(&self) -> Vec<String> {
        let mut missing = self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone();
        missing.extend(self.refused.iter().cloned());
        if self.watch.as_ref().is_none_or(JoinHandle::is_finished) {
            missing.push("everything: the watch for libraries has ended; the log has the reason".to_owned());
        }
        missing
    }

    fn programs(&self) -> Vec<ProgramReport> {
        self.programs.clone()
    }

    fn drain(&mut self, _window: Window, sink: &mut Sink) {
        self.losses.drain(sink);
        let count = self.skipped.drain();
        if count > 0 {
            sink.losses.push(Loss { signal: "span", stage: "kernel", reason: "program_busy", count });
        }
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        drop(self.stop.take());
        if self.ended.recv_timeout(END) == Err(RecvTimeoutError::Timeout) {
            // a file on a system that does not answer; its programs go when it returns, or with the agent
            tracing::warn!(
                "the thread that watches for TLS libraries still waits for a file, and is left to itself"
            );
        } else if let Some(watch) = self.watch.take()
            && watch.join().is_err()
        {
            tracing::error!("the thread that watches for TLS libraries panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AttachError, KernelFeatures, Settings, TlsMode, is_wanted};

    fn why(release: &str, settings: &Settings) -> Option<String> {
        let features = KernelFeatures { release: release.into(), ..KernelFeatures::default() };
        match is_wanted(&features, settings) {
            Ok(()) => None,
            Err(AttachError::Disabled(why)) => Some(why),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn newer_kernels_ask_for_a_decision_and_the_table_says_so() {
        let auto = Settings::default();
        assert_eq!(why("6.10.11+bpo-cloud-amd64", &auto), None);
        for release in ["6.11.0", "6.12.107+deb13-cloud-amd64", "6.13.0", "7.0.1"] {
            let why = why(release, &auto).unwrap();
            assert!(why.contains("probes.tls.mode: always") && why.contains("uretprobe"), "{why}");
        }
        assert!(why("", &auto).is_some());
        assert_eq!(why("6.18.1", &Settings { tls: TlsMode::On, ..Settings::default() }), None);
        assert!(why("6.1.0", &Settings { tls: TlsMode::Off, ..Settings::default() }).is_some());
    }

    #[test]
    fn without_the_requests_probe_there_is_no_use_for_it() {
        let settings = Settings { disabled: vec!["requests".into()], ..Settings::default() };
        assert!(why("6.1.0", &settings).unwrap().contains("requests"));
    }
}
