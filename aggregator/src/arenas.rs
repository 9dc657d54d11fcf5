//! What the C library keeps of memory that was freed: a share of its own for each thread, unless it is told otherwise.
//!
//! A seal and a merge work in large buffers on threads that come and go, and what stays behind in each share is memory
//! that nothing uses. The library is told by its environment, which it reads before we run: so the program starts again,
//! as the same process, with the same arguments.

#[cfg(target_env = "gnu")]
use std::os::unix::process::CommandExt as _;

/// How many shares there are.
#[cfg(target_env = "gnu")]
const ARENAS: (&str, &str) = ("MALLOC_ARENA_MAX", "2");
/// Buffers from this size on go back to the kernel when they are freed, bytes.
#[cfg(target_env = "gnu")]
const LARGE: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "4194304");

/// Says that the program was started again: a library that is careful may take away its own variables.
#[cfg(target_env = "gnu")]
const AGAIN: (&str, &str) = ("_WAKE_STARTED_AGAIN", "1");

/// Starts the program again with few shares, unless somebody has set their number; without effect where that cannot be.
/// To be called before anything is read that can be read once only, such as a config from a pipe.
#[cfg(target_env = "gnu")]
pub(crate) fn keep_few() {
    if std::env::var_os(ARENAS.0).is_some() || std::env::var_os(AGAIN.0).is_some() {
        return;
    }
    let Ok(own) = std::env::current_exe() else { return };
    let arguments = std::env::args_os().skip(1);
    let error = std::process::Command::new(own).args(arguments).envs([ARENAS, LARGE, AGAIN]).exec();
    drop(error);
}

/// Other C libraries keep little.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn keep_few() {}
