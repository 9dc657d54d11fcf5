//! What is held back: in memory, records that may go on, parts of lines, unfinished lines, bounded in time and bytes; in
//! their files, the logs of pods that are not known yet.

use std::path::Path;
use std::time::Duration;

use super::Follower;
use super::log::Log;
use crate::logs::annotations::Reading;
use crate::logs::multiline::QUIET;

/// Memory for unfinished lines and records, all logs together.
pub(super) const MAX_PARTIAL_BYTES: usize = 16 << 20;
/// A log that waits for longer than it takes to be told of a pod is worth a sentence.
const LONG: Duration = Duration::from_secs(5);
const WAITS: &str = "unknown pods";

impl Follower {
    /// Hands on records that have been quiet for long enough. How long until that should be done again.
    pub(crate) fn flush(&mut self) -> Option<Duration> {
        let now = self.clock.monotonic();
        let mut is_waiting = false;
        for log in self.logs.values_mut() {
            is_waiting |= log.flush(&mut self.out, now);
            if log.reading() == Reading::Waits {
                (log.is_hot, is_waiting) = (true, true);
            }
        }
        is_waiting.then_some(QUIET)
    }

    /// Says how many logs wait for what is told of their pods, and how many are left out.
    pub(super) fn note_waiting(&self, now: Duration) {
        let count = |reading| self.logs.values().filter(|log| log.reading() == reading).count() as u64;
        let (status, about) = (&self.out.status, Path::new(""));
        status.waiting_logs.set(count(Reading::Waits));
        status.left_out_logs.set(count(Reading::Off));
        let is_long = |log: &&Log| log.waits_since().is_some_and(|since| now.saturating_sub(since) >= LONG);
        match self.logs.values().filter(is_long).count() {
            0 => status.works(WAITS, about),
            logs => {
                let sentence = format!(
                    "{logs} logs wait in their files: the aggregator has not told yet what the annotations of their \
                     pods say"
                );
                status.miss(WAITS, about, sentence);
            }
        }
    }

    /// If there are too many unfinished lines, those in files are read again later; those that are being joined, the
    /// longest first, are cut, and records handed on as they are.
    pub(super) fn bound_memory(&mut self) {
        let joins: usize = self.logs.values().map(Log::held_joins).sum();
        let tails: usize = self.logs.values().flat_map(Log::all).map(|file| file.tail.held()).sum();
        if joins + tails > MAX_PARTIAL_BYTES {
            for log in self.logs.values_mut() {
                log.lingering.iter_mut().chain(&mut log.files).for_each(|file| file.tail.forget_partial());
            }
        }
        let mut surplus = joins.saturating_sub(MAX_PARTIAL_BYTES);
        let mut longest: Vec<&mut Log> =
            self.logs.values_mut().filter(|log| surplus > 0 && log.held_joins() > 0).collect();
        longest.sort_by_key(|log| std::cmp::Reverse(log.held_joins()));
        for log in longest {
            if surplus == 0 {
                break;
            }
            surplus = surplus.saturating_sub(log.held_joins());
            log.cut_joins(&mut self.out);
        }
    }
}
