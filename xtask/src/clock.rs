//! Time for verbs that wait; `xtask` uses no crate of the workspace, so not `daemon::clock`.

use std::time::{Duration, Instant};

/// A moment to measure from.
#[expect(clippy::disallowed_methods, reason = "this is where xtask asks for the time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Gives other processes time before the next look.
#[expect(
    clippy::disallowed_methods,
    reason = "what is polled are other processes; nothing here signals them"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
