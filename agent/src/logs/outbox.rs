//! Rows on their way into a chunk, with the marks that belong to them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemon::clock::Clock;
use proto::v1;

use crate::logs::annotations::Reading;
use crate::logs::checkpoint::{Mark, Position};
use crate::logs::line::{Lines, Source, Text, size_of};
use crate::logs::record::{CHUNK_BYTES, Chunk, LogRecord, Origin, SourceKey};
use crate::logs::redact::Rules;
use crate::logs::status::LogStatus;
use crate::requests::written::Print;
use crate::window::sample::Owner;

/// How long marks of lines that were passed over wait for rows.
const PASSED_MARKS: Duration = Duration::from_secs(5);

/// Collects what one thread reads.
#[derive(Debug)]
pub(crate) struct Outbox {
    lines: Lines,
    clock: Clock,
    pub(crate) status: Arc<LogStatus>,
    records: Vec<LogRecord>,
    bytes: usize,
    marks: BTreeMap<SourceKey, Option<Position>>,
    /// Since when lines are passed over whose marks have not gone out.
    passed_since: Option<Duration>,
}

/// Lines per second of one source; what is beyond is lost and counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateLimit {
    per_second: u32,
    second: u64,
    used: u32,
}

impl RateLimit {
    /// 0: none.
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second, second: 0, used: 0 }
    }

    /// A record of several lines is never admitted in part: it goes as a whole while there is room for one line.
    fn admits(&mut self, now_ns: u64, lines: u32) -> bool {
        if self.per_second == 0 {
            return true;
        }
        let second = now_ns / 1_000_000_000;
        if second != self.second {
            (self.second, self.used) = (second, 0);
        }
        let is_room = self.used < self.per_second;
        self.used = self.used.saturating_add(lines);
        is_room
    }
}

impl Outbox {
    pub(crate) fn new(rules: Arc<Rules>, clock: Clock, status: Arc<LogStatus>) -> Self {
        Self {
            lines: Lines::new(rules),
            clock,
            status,
            records: Vec::new(),
            bytes: 0,
            marks: BTreeMap::new(),
            passed_since: None,
        }
    }

    /// Makes a row of the text, unless the source is beyond its rate.
    pub(crate) fn push(
        &mut self,
        source: &Source,
        owner: &Owner,
        limit: &mut RateLimit,
        text: &Text<'_>,
        origin: Origin,
        in_key: &mut bool,
    ) {
        let now_ns = self.clock.now_unix_ns();
        let row: v1::LogRow = self.lines.row(source, text, now_ns, in_key);
        if !limit.admits(now_ns, text.lines) {
            // in records, as what is handed on
            self.status.lose("rate_limit", 1);
            return;
        }
        self.status.lines.add(1);
        self.status.body_bytes.add(row.body.len() as u64);
        self.status.truncated.add(u64::from(row.truncated));
        self.status.malformed.add(u64::from(text.is_bad));
        self.bytes += size_of(&row);
        let prints = prints(text);
        self.records.push(LogRecord { owner: owner.clone(), row, origin, prints, lines: text.lines });
    }

    /// Where the source goes on once all rows so far are durable; `None`: it is done with.
    pub(crate) fn mark(&mut self, source: SourceKey, position: Option<Position>) {
        self.marks.insert(source, position);
    }

    /// Whether the rows so far are enough for a chunk.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= CHUNK_BYTES
    }

    /// So many lines are read and not handed on.
    pub(crate) fn pass_over(&mut self, why: Reading, lines: u64) {
        match why {
            Reading::Unknown => self.status.lose("unknown_pod", lines),
            Reading::On | Reading::Waits | Reading::Off => self.status.passed_over.add(lines),
        }
        self.passed_since.get_or_insert(self.clock.monotonic());
    }

    /// The rows so far. Marks without rows wait for the next ones, those of lines that are passed over not for long:
    /// they shall not be read again when the pod's annotation has changed.
    pub(crate) fn take(&mut self) -> Option<Chunk> {
        let now = self.clock.monotonic();
        let is_due = self.passed_since.is_some_and(|since| now.saturating_sub(since) >= PASSED_MARKS);
        let has_marks_due = is_due && !self.marks.is_empty();
        if self.records.is_empty() && !has_marks_due {
            return None;
        }
        self.passed_since = None;
        self.bytes = 0;
        let marks = std::mem::take(&mut self.marks).into_iter();
        let marks = marks.map(|(source, position)| Mark { source, position }).collect();
        Some(Chunk { records: std::mem::take(&mut self.records), marks })
    }
}

/// Of the first and the last line of a record.
fn prints(text: &Text<'_>) -> [Print; 2] {
    if text.lines <= 1 {
        return [Print::of(&text.bytes); 2];
    }
    let first = text.bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let last = text.bytes.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    [Print::of(first), Print::of(last)]
}
