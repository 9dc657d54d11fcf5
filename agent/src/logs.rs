//! Logs: lines of files, of containers and of the journal, redacted, with their place in the source.
//!
//! Flow: `watch` (inotify, poll) → `follow` (globs, rotation, truncation) → `tail` (bytes to lines) → `container`
//! (framing, joining of parts) → `multiline` (lines to records) → `line` (time, level, trace) → `owner` → `redact` →
//! `Chunk` → window, spool, export.
//! `annotations` says before each look at a log whether its pod wants it to be read; until that is known the log waits.
//! `journal` feeds the same chunks from `journalctl`.
//!
//! # How to use it
//! ```text
//! let rules = Rules::build(&config.logs.redact)?;                 // also for process arguments
//! let checkpoints = Checkpoints::open(&state_dir.join("checkpoints"))?;
//! for record in spool.records() { checkpoints.commit(&record.marks); }   // before the reader starts
//! let mut reader = Logs::build(config.logs, Deps { rules, checkpoints, clock, cgroup2, root_cgroup_id, view,
//!     identities }).spawn()?;
//! while let Some(chunk) = reader.next().await { .. }              // or `reader.try_next()`
//! ```
//!
//! # The order that loses and repeats nothing
//! 1. A `Chunk` is atomic: all its records go into one batch (it unpacks to at most `CHUNK_BYTES` plus one body, far
//!    below a batch's 4 MiB; several chunks may share a batch, in the order in which they came). Its `marks` say where
//!    each source it touched must be read on once the chunk is durable.
//! 2. Before a batch with (epoch, seq) goes out, its spool record, which holds the rows **and** the merged marks
//!    (`merge_marks(chunks)`, a small `Vec<Mark>` with serde), is written. From then on the rows are the spool's: after
//!    a crash the same rows go out under the same (epoch, seq), and reading goes on behind them.
//! 3. After the spool write, `checkpoints.commit(&marks)`: memory only, in the order of the batches. Rows that are shed
//!    on purpose (spool full) are counted in the ledger and their marks committed as well.
//! 4. `checkpoints.persist(now_ns)` writes the file (tmp, fsync, rename, fsync of the directory). It must have returned
//!    **before a spool record whose marks were committed is removed**; call it then, else about once a second, and at
//!    shutdown. Calls without news cost nothing.
//! 5. After a crash the checkpoint file may be older than the spool, so the spool's marks are committed again before
//!    the reader starts (above). Committing a mark twice is harmless; an older mark after a newer one is not.
//!
//! # Backpressure and losses
//! The channel holds `CHANNEL_CHUNKS` chunks. While it is full nothing is read: files wait on disk. `LogStatus` has the
//! counters for metrics; `reader.take_losses()` yields what was lost since the last call (rate limits, files deleted
//! before they were read), and `reader.status().missing()` what `/probes` shows as missing for `logs`.
//!
//! # Shutdown
//! `reader.stop()` ends reading; then `next()` yields what is in the channel and `None`. Chunks that are not taken are
//! simply read again after the next start. Dropping the reader stops it too; a thread that does not end at once (a file
//! system that hangs) is left behind.

mod annotations;
pub mod checkpoint;
pub mod config;
mod container;
mod follow;
pub(crate) mod fuzz;
mod glob;
mod journal;
mod line;
mod multiline;
mod outbox;
mod owner;
mod pace;
mod place;
pub mod reader;
pub mod record;
pub mod redact;
pub mod status;
mod stop;
mod tail;
mod watch;
mod wishes;

#[cfg(test)]
pub(crate) mod random;
