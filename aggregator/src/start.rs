//! What starting needs once: addresses, callers, the store.

pub(crate) mod callers;
pub(crate) mod listeners;
pub(crate) mod opened;
