//! The reading threads and the channel that they fill.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc as blocking};
use std::time::Duration;

use daemon::clock::Clock;
use tokio::sync::mpsc;

use crate::identity::Identities;
use crate::kernel::view::NodeView;
use crate::logs::annotations::Annotations;
use crate::logs::checkpoint::Checkpoints;
use crate::logs::config::LogsConfig;
use crate::logs::follow::{Follower, FollowerDeps};
use crate::logs::journal;
use crate::logs::owner::Owners;
use crate::logs::pace::Pace;
use crate::logs::record::{CHANNEL_CHUNKS, Chunk};
use crate::logs::redact::Rules;
use crate::logs::status::LogStatus;
use crate::logs::stop::Stop;
use crate::logs::watch::Watch;
use crate::parts::Parts;
use crate::window::sample::Loss;

/// How often all files are looked at, whatever inotify says.
const POLL: Duration = Duration::from_secs(1);
/// Directories that appear while others are listed are listed at once, so many times.
const MOST_SCANS: usize = 4;
/// How long the threads may take to end when the reader is dropped: that happens on the runtime, which has other parts
/// to end as well.
const END: Duration = Duration::from_millis(200);
/// After an event, so that one wake-up serves many.
const GATHER: Duration = Duration::from_millis(20);

/// What reading needs from outside.
#[derive(Debug)]
pub struct Deps {
    /// Compiled redaction rules.
    pub rules: Arc<Rules>,
    /// With the marks of the spool already committed.
    pub checkpoints: Checkpoints,
    /// Time.
    pub clock: Clock,
    /// Mount point of the cgroup2 hierarchy.
    pub cgroup2: Option<PathBuf>,
    /// Inode of that mount point.
    pub root_cgroup_id: u64,
    /// Which processes are the node's.
    pub view: NodeView,
    /// Where pods are told of; without them annotations do not count.
    pub identities: Option<Arc<Mutex<Identities>>>,
}

/// Reading cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum SpawnLogsError {
    /// The kernel gives no eventfd.
    #[error("make an eventfd to stop the log reader")]
    Stop {
        /// Why.
        source: std::io::Error,
    },
    /// No thread.
    #[error("start the thread {name}")]
    Thread {
        /// Its name.
        name: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

/// The reader before its start.
#[derive(Debug)]
pub struct Logs {
    config: LogsConfig,
    deps: Deps,
    status: Arc<LogStatus>,
    parts: Option<Parts>,
}

impl Logs {
    /// Opens and starts nothing.
    pub fn build(config: LogsConfig, deps: Deps) -> Self {
        Self { config, deps, status: Arc::default(), parts: None }
    }

    /// A thread that panics ends these parts' agent.
    pub(crate) fn supervised(self, parts: &Parts) -> Self {
        Self { parts: Some(parts.clone()), ..self }
    }

    /// Starts reading: one thread for files, one for the journal where there is one.
    ///
    /// # Errors
    /// When the kernel gives no thread or eventfd.
    pub fn spawn(self) -> Result<LogReader, SpawnLogsError> {
        let Self { config, deps, status, parts } = self;
        let Deps { rules, checkpoints, clock, cgroup2, root_cgroup_id, view, identities } = deps;
        let identities = identities.filter(|_| config.annotations);
        let annotations = || Annotations::new(identities.clone(), config.unknown_pods.clone());
        let stop = Stop::new().map_err(|error| SpawnLogsError::Stop { source: error.into() })?;
        let (sender, chunks) = mpsc::channel(CHANNEL_CHUNKS);
        let (alive, ended) = blocking::channel();
        let owners = || Owners::new(cgroup2.clone(), root_cgroup_id, view.clone(), clock.clone());
        if config.enabled {
            let deps = FollowerDeps {
                rules: Arc::clone(&rules),
                checkpoints: checkpoints.clone(),
                clock: clock.clone(),
                owners: owners(),
                annotations: annotations(),
                status: Arc::clone(&status),
            };
            let follower = Follower::new(&config, deps);
            let thread =
                Files { follower, clock: clock.clone(), stop: stop.clone(), status: Arc::clone(&status) };
            let sender = sender.clone();
            start("wake-logs", alive.clone(), parts.as_ref(), move || thread.run(&sender))?;
        }
        if config.enabled && config.journal.enabled {
            let deps = journal::Deps {
                rules,
                checkpoints,
                clock: clock.clone(),
                owners: owners(),
                annotations: annotations(),
                status: Arc::clone(&status),
            };
            let follower = journal::Journal::new(&config, deps);
            let stop = stop.clone();
            start("wake-journal", alive, parts.as_ref(), move || {
                follower.run(&stop, &mut |chunk| sender.blocking_send(chunk).is_ok())
            })?;
        }
        Ok(LogReader { chunks, status, stop, ended: Mutex::new(ended) })
    }
}

/// `alive` is dropped when the thread ends, however it does.
fn start(
    name: &'static str,
    alive: blocking::Sender<()>,
    parts: Option<&Parts>,
    run: impl FnOnce() + Send + 'static,
) -> Result<(), SpawnLogsError> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    let part = parts.map(|parts| parts.part(name));
    let thread = move || {
        run();
        drop(alive);
        if let Some(part) = part {
            part.done();
        }
    };
    builder.spawn(thread).map(drop).map_err(|source| SpawnLogsError::Thread { name, source })
}

/// Yields chunks. Dropping it ends the threads.
#[derive(Debug)]
pub struct LogReader {
    chunks: mpsc::Receiver<Chunk>,
    status: Arc<LogStatus>,
    stop: Stop,
    /// Disconnected once all threads have ended.
    ended: Mutex<blocking::Receiver<()>>,
}

impl LogReader {
    /// The next chunk; `None` once it was stopped and the channel is empty. Cancel safe.
    pub async fn next(&mut self) -> Option<Chunk> {
        self.chunks.recv().await
    }

    /// A chunk if there is one now.
    pub fn try_next(&mut self) -> Option<Chunk> {
        self.chunks.try_recv().ok()
    }

    /// Ends reading. What is in the channel can still be taken.
    pub fn stop(&mut self) {
        self.stop.set();
        self.chunks.close();
    }

    /// Counters, shared with the threads.
    pub fn status(&self) -> &Arc<LogStatus> {
        &self.status
    }

    /// What was lost since the last call.
    pub fn take_losses(&self) -> Vec<Loss> {
        self.status.take_losses()
    }
}

impl Drop for LogReader {
    fn drop(&mut self) {
        self.stop();
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(END) == Err(blocking::RecvTimeoutError::Timeout) {
            tracing::warn!("a log thread hangs in a file and is left behind");
        }
    }
}

/// The thread that follows files.
struct Files {
    follower: Follower,
    clock: Clock,
    stop: Stop,
    status: Arc<LogStatus>,
}

impl Files {
    fn run(mut self, sender: &mpsc::Sender<Chunk>) {
        let mut watch = match Watch::new() {
            Ok(watch) => Some(watch),
            Err(error) => {
                let sentence = format!("inotify: {error}; files are looked at once a second");
                self.status.miss("inotify", Path::new(""), sentence);
                None
            }
        };
        self.follower.start();
        let mut emit = |chunk| sender.blocking_send(chunk).is_ok();
        let mut is_watched = self.watch(&mut watch);
        let mut polled_at = self.clock.monotonic();
        let mut pace = Pace::new(polled_at);
        let mut more = true;
        let mut held = None;
        while !self.stop.is_set() && !sender.is_closed() {
            if !more {
                let wait = pace.wait(self.clock.monotonic(), is_watched).min(held.unwrap_or(POLL));
                self.stop.wait(watch.as_ref().map(Watch::descriptor), wait);
                self.stop.wait(None, GATHER);
            }
            let changes = watch.as_mut().map(Watch::take).unwrap_or_default();
            let now = self.clock.monotonic();
            if changes.names || changes.lost {
                pace.want();
            }
            if pace.take(now, is_watched) {
                self.follower.scan();
                is_watched = self.watch(&mut watch);
            }
            if changes.lost || now.saturating_sub(polled_at) >= POLL {
                polled_at = now;
                self.follower.expire();
            }
            for path in &changes.written {
                self.follower.touch(path);
            }
            held = self.follower.flush();
            more = self.follower.read(&mut emit);
        }
    }

    /// Whether every directory is watched.
    fn watch(&mut self, watch: &mut Option<Watch>) -> bool {
        let Some(watch) = watch else { return false };
        for _ in 0..MOST_SCANS {
            match watch.set(self.follower.directories()) {
                Ok(false) => {
                    self.status.works("inotify watch", Path::new(""));
                    return true;
                }
                // files may have come before the watch
                Ok(true) => self.follower.scan(),
                Err(error) => {
                    let sentence =
                        format!("inotify watch: {error}; some directories are looked at once a second");
                    self.status.miss("inotify watch", Path::new(""), sentence);
                    return false;
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests;
