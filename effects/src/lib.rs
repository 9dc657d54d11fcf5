//! What did a change do, to the workload that changed and to everything around it, and how sure are we?
//!
//! ```text
//! case (changes, pods, calls, samples) ─▶ series ─▶ tests (placebo, arms, silence) ─▶ attribution ─▶ verdict
//! ```
//! Pure: no clock, no I/O, no hidden randomness; the same input gives the same bytes out. Times are unix
//! seconds (UTC), durations seconds. A verdict for time *T* uses samples and facts no later than *T*.

#![forbid(unsafe_code)]

pub mod arms;
pub mod attribute;
pub mod candidates;
pub mod case;
mod cells;
pub mod effectiveness;
pub mod finding;
pub mod grid;
pub mod ingredient;
pub mod judge;
pub mod line;
pub mod live;
pub mod mix;
mod past;
pub mod probe;
pub mod samples;
pub mod select;
pub mod silence;
pub mod simulate;
pub mod stats;
mod synthetic;
pub mod track;
pub mod transient;
pub mod warning;
pub mod watch;
mod work;
pub mod working;
