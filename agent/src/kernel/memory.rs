//! Gives freed memory back to the kernel: a burst of rows must not stay in the process for good.

/// Returns what the allocator keeps for later; some milliseconds at most. Nothing to do without glibc.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer and may be called from any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Keeps the allocator from setting memory aside per thread; to be called before threads are started.
pub fn few_arenas() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer; other threads do not exist yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}
