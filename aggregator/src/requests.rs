//! Requests: what spans of both ends say of one request, put together.
//!
//! `span` reads rows in place; `pairs` finds the client's and the server's span of a request while they pass by (for the
//! service graph and the map); `join` does so within one question, and says how sure it is.
//!
//! `counted` reads what agents have counted, also of requests that are no spans.
//!
//! Does not: read the store, nor change anything in it.

pub(crate) mod counted;
pub(crate) mod join;
pub(crate) mod pairs;
pub(crate) mod span;
