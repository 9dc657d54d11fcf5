//! Waits for rings.

use std::os::fd::RawFd;
use std::time::Duration;

/// Returns when one of the descriptors can be read, or after this time. A descriptor that is closed counts as readable.
pub fn readable(fds: &[RawFd], most: Duration) {
    let mut polled: Vec<libc::pollfd> =
        fds.iter().map(|fd| libc::pollfd { fd: *fd, events: libc::POLLIN, revents: 0 }).collect();
    // round up: a wait that ends just before the window does would spin
    let millis = i32::try_from(most.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
    let count = libc::nfds_t::try_from(polled.len()).unwrap_or(0);
    // An interrupted wait is a short one: the caller looks at everything anyway.
    // SAFETY: the pointer and the count describe `polled`, which lives through the call.
    unsafe {
        libc::poll(polled.as_mut_ptr(), count, millis);
    }
}
