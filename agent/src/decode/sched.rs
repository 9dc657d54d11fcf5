//! Run queue counters to rows.

use crate::window::sample::{self, Owner, Row, Sample};

/// One owner's switches and delays in a window.
pub fn run_queue(workload: u64, gained: &agent_common::sched::RunQueue) -> Sample {
    let row = sample::RunQueue {
        hist: gained.delays.to_vec(),
        voluntary: gained.voluntary,
        involuntary: gained.involuntary,
    };
    Sample { owner: Owner::Workload(workload), row: Row::RunQueue(row) }
}
