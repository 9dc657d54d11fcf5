//! The store: batches become durable, searchable, small, and one day gone.
//!
//! ```text
//! batch ─ admit ─▶ WAL (group fsync) ─▶ head (searchable, then acknowledged) ─ seal ─▶ segments ─ retention ─▶ gone
//!            └ dedupe on (node, epoch, seq)      └────────── snapshot: scan, logs, histogram ──┘
//! ```
//! What is acknowledged survives a power cut and is found by the next query. `format.md` holds every byte on disk.
//!
//! Does not: read a clock (time is an argument), speak HTTP or SQL, know what a rule, a price or a user is.
#![forbid(unsafe_code)]

mod batch;
mod catalog;
mod civil;
mod compact;
mod dedupe;
mod disk;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod head;
mod limits;
mod maintain;
#[doc(hidden)]
pub mod measure;
mod open;
mod readers;
mod registry;
mod rows;
mod scan;
mod scope;
mod seal;
mod search;
mod segment;
mod snapshot;
mod state;
mod stats;
mod store;
mod table;
mod template;
mod wal;

pub use batch::{Appended, Rejected, RejectedRow};
pub use compact::Compacted;
pub use error::{OpenError, Refused, ScanError, SealError};
pub use limits::{Limits, Retention};
pub use maintain::Maintained;
pub use open::Recovered;
pub use scan::{Order, Says, ScanRequest};
pub use scope::Scope;
pub use seal::Sealed;
pub use search::{
    FieldFormat, FieldRequest, Histogram, HistogramBucket, HistogramBy, HistogramRequest, LogRequest,
    Pattern, PatternRequest, PatternVersion, Patterns, RequestError, field,
};
pub use snapshot::{RowStream, Snapshot};
pub use stats::{Counters, StoreStats, SyncTimes, TableStats};
pub use store::Store;
pub use table::{Table, log_schema};

#[cfg(test)]
mod tests;
