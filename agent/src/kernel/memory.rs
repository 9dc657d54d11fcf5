//! Gives freed memory back to the kernel: a burst of rows must not stay in the process for good.

/// Returns what the allocator keeps for later; some milliseconds at most. Nothing to do without glibc.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer and may be called from any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Bytes that the allocator keeps for the next batch. Without them each batch's buffers come from the kernel anew, which
/// clears their pages: a tenth of what the agent did for a span.
#[cfg(target_env = "gnu")]
const KEPT_BYTES: libc::c_int = 8 << 20;

/// Keeps the allocator from setting memory aside per thread, and lets it keep what batches take; to be called before
/// threads are started.
pub fn set_up() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer; other threads do not exist yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
        libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
    }
}
