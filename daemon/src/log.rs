//! The process's own log: lines for people on a terminal, JSON otherwise, always on standard error.
//!
//! `Repeated` keeps a line that occurs per event from flooding it.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::clock::Clock;

/// Installs the process's logger. `filter` is e.g. `info` or `info,agent=debug` (from `WAKE_LOG`); without one, or
/// with one that cannot be read, it is `info`. Does nothing when a logger is installed already (tests).
pub fn init(filter: Option<&str>) {
    let filter =
        filter.and_then(|text| EnvFilter::try_new(text).ok()).unwrap_or_else(|| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = if std::io::stderr().is_terminal() {
        builder.with_target(false).finish().try_init()
    } else {
        builder.json().flatten_event(true).finish().try_init()
    };
    drop(installed);
}

/// An error with what caused it, `outer: inner: innermost`.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Lets one line through per interval and counts those held back.
#[derive(Debug)]
pub struct Repeated {
    clock: Clock,
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: Duration,
    held_back: u64,
}

impl Repeated {
    /// At most one line per `interval`.
    pub fn new(clock: Clock, interval: Duration) -> Self {
        Self { clock, interval, state: Mutex::default() }
    }

    /// `Some(how many were held back since the last line)` when the line may be written now.
    pub fn permit(&self) -> Option<u64> {
        let now = self.clock.monotonic();
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if now < state.next {
            state.held_back += 1;
            return None;
        }
        state.next = now + self.interval;
        Some(std::mem::take(&mut state.held_back))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Repeated;
    use crate::clock::Clock;

    #[test]
    fn repeated_lines_are_held_back_and_counted() {
        let clock = Clock::manual(0);
        let repeated = Repeated::new(clock.clone(), Duration::from_secs(10));
        assert_eq!(repeated.permit(), Some(0));
        assert_eq!(repeated.permit(), None);
        assert_eq!(repeated.permit(), None);
        clock.advance(Duration::from_secs(10));
        assert_eq!(repeated.permit(), Some(2));
        assert_eq!(repeated.permit(), None);
    }
}
