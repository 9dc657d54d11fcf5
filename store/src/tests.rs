//! The store as a whole: what its callers rely on.

mod after;
mod basics;
mod blooms;
mod bounds;
mod catalog;
mod compact;
mod damage;
mod equals;
mod fields;
pub(crate) mod fixture;
mod full;
mod kept;
mod lsns;
mod memory;
mod model;
mod newer;
mod patterns;
mod replay;
mod resolved;
mod says;
mod scopes;
mod search;
mod templates;
mod terms;
mod versions;
