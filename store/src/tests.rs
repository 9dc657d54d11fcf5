//! The store as a whole: what its callers rely on.

mod basics;
pub(crate) mod fixture;
