//! The store as a whole: what its callers rely on.

mod basics;
mod search;
pub(crate) mod fixture;
