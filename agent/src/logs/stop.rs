//! Ends the reading threads, also while they wait.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

/// Set once; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Stop(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    is_set: AtomicBool,
    wake: OwnedFd,
}

impl Stop {
    /// # Errors
    /// When the kernel gives no eventfd.
    pub(crate) fn new() -> Result<Self, Errno> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self(Arc::new(Inner { is_set: AtomicBool::new(false), wake })))
    }

    pub(crate) fn set(&self) {
        self.0.is_set.store(true, Ordering::Release);
        if let Err(error) = rustix::io::write(&self.0.wake, &1_u64.to_ne_bytes()) {
            // the counter is full, and then the wait ends as well
            tracing::debug!(%error, "the log reader was woken before");
        }
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.is_set.load(Ordering::Acquire)
    }

    /// Waits until the stop, the time is over, or this descriptor can be read. Whether it can.
    pub(crate) fn wait(&self, descriptor: Option<BorrowedFd<'_>>, time: Duration) -> bool {
        let timeout = Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        let wake = PollFd::from_borrowed_fd(self.0.wake.as_fd(), PollFlags::IN);
        let mut set = vec![wake];
        set.extend(descriptor.map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN)));
        match poll(&mut set, Some(&timeout)) {
            Ok(_) => set.get(1).is_some_and(|polled| !polled.revents().is_empty()),
            // an interrupted wait is a short one
            Err(_) => false,
        }
    }
}
