//! Ordered, named shutdown: intake stops, then buffers flush, then servers close; past the grace it says who is late.
//!
//! Dropping a `Token` completes it, so a part that panics cannot hang the exit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

#[cfg(test)]
mod tests;

/// The order in which parts are told to stop. A phase begins when every part of the earlier ones has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// What takes new work in: probes, log readers, ingest.
    Intake,
    /// What holds work: windows, spool, export, write-ahead log.
    Buffers,
    /// What answers others: admin and API servers.
    Servers,
}

impl Phase {
    const ALL: [Self; 3] = [Self::Intake, Self::Buffers, Self::Servers];
}

/// Hands out tokens and runs the shutdown; clones share it.
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The phase that has begun last.
    begun: watch::Sender<Option<Phase>>,
    live: Mutex<Live>,
    ended: Notify,
    requested: watch::Sender<bool>,
    grace: Duration,
}

#[derive(Debug, Default)]
struct Live {
    next: u64,
    parts: BTreeMap<u64, (Phase, &'static str)>,
}

/// One part's place in the shutdown; drop it when the part has ended.
#[derive(Debug)]
pub struct Token {
    shared: Arc<Shared>,
    id: u64,
    phase: Phase,
    begun: watch::Receiver<Option<Phase>>,
}

impl Shutdown {
    /// `grace` is for all phases together.
    pub fn new(grace: Duration) -> Self {
        Self(Arc::new(Shared {
            begun: watch::Sender::new(None),
            live: Mutex::default(),
            ended: Notify::new(),
            requested: watch::Sender::new(false),
            grace,
        }))
    }

    /// Registers a part that must end in this phase.
    pub fn register(&self, phase: Phase, name: &'static str) -> Token {
        let begun = self.0.begun.subscribe();
        let mut live = self.0.lock();
        let id = live.next;
        live.next += 1;
        live.parts.insert(id, (phase, name));
        Token { shared: Arc::clone(&self.0), id, phase, begun }
    }

    /// Whether a phase has begun; for parts that hold no token, since nothing must wait for them.
    pub fn has_begun(&self, phase: Phase) -> bool {
        self.0.begun.borrow().is_some_and(|begun| begun >= phase)
    }

    /// Asks for the shutdown; `requested` returns everywhere. May be called often.
    pub fn request(&self) {
        self.0.requested.send_replace(true);
    }

    /// Returns once somebody asked for the shutdown.
    pub async fn requested(&self) {
        let mut requested = self.0.requested.subscribe();
        // The sender lives as long as `self`.
        if requested.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Stops every part in order. Returns the names of those that were late; they are also logged.
    pub async fn run(&self) -> Vec<&'static str> {
        self.request();
        let deadline = tokio::time::sleep(self.0.grace);
        tokio::pin!(deadline);
        for phase in Phase::ALL {
            self.0.begun.send_replace(Some(phase));
            tokio::select! {
                () = self.0.idle(phase) => {}
                () = &mut deadline => {
                    self.0.begun.send_replace(Some(Phase::Servers));
                    let late = self.0.live_in(Phase::Servers);
                    tracing::warn!(?late, "parts did not stop within the grace period");
                    return late;
                }
            }
        }
        Vec::new()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live_in(&self, last: Phase) -> Vec<&'static str> {
        self.lock().parts.values().filter(|(phase, _)| *phase <= last).map(|(_, name)| *name).collect()
    }

    async fn idle(&self, last: Phase) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.live_in(last).is_empty() {
                return;
            }
            ended.await;
        }
    }
}

impl Token {
    /// Returns once this part's phase has begun.
    pub async fn stopped(&self) {
        let phase = self.phase;
        if self.begun.clone().wait_for(|begun| begun.is_some_and(|begun| begun >= phase)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether this part's phase has begun; for threads.
    pub fn is_stopped(&self) -> bool {
        self.begun.borrow().is_some_and(|begun| begun >= self.phase)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.shared.lock().parts.remove(&self.id);
        self.shared.ended.notify_waiters();
    }
}

/// Returns the name of the first SIGINT or SIGTERM.
///
/// # Errors
/// When the handlers cannot be installed.
pub async fn signal() -> std::io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    })
}
