//! The window: the fixed span of wall time that a row sums up, aligned so that all nodes agree.

pub mod assemble;
pub mod current;
pub(crate) mod hex;
pub(crate) mod nat;
pub(crate) mod peers;
pub mod sample;
pub mod span;

/// One window, `[start, start + length)`. As nominal ones are laid the start is a multiple of the length; what a row
/// carries is what was covered (`current`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Nanoseconds since the Unix epoch, a whole second.
    pub start_ns: u64,
    /// Length in whole seconds.
    pub seconds: u32,
}

impl Window {
    /// The window that holds this time.
    pub fn containing(now_ns: u64, seconds: u32) -> Self {
        let length = u64::from(seconds) * 1_000_000_000;
        Self { start_ns: now_ns - now_ns % length, seconds }
    }

    /// The first nanosecond after it.
    pub fn end_ns(self) -> u64 {
        self.start_ns + u64::from(self.seconds) * 1_000_000_000
    }
}
