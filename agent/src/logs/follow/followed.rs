//! One file of a log: how far it was read, and what of that is not yet handed on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::logs::checkpoint::{FilePosition, Fingerprint, Position};
use crate::logs::container::Stream;
use crate::logs::follow::pending::Pending;
use crate::logs::record::SourceKey;
use crate::logs::tail::Tail;

/// A file of a log, live or rotated.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) tail: Tail,
    /// Another file has the log's name by now.
    pub(crate) is_rotated: bool,
    /// It is what remains after a copy was taken: its first line may have begun in the file before.
    pub(crate) continues: bool,
    /// Nothing of it had been handed on at the last look at the directory.
    pub(crate) was_unread: bool,
    /// Its unfinished last line was handed to the next file.
    pub(crate) is_carried: bool,
    /// Per stream, where what is not yet handed on begins.
    pub(crate) pending: [Pending; 3],
    pub(crate) replay: Option<Replay>,
    /// When it was last seen to grow.
    pub(crate) grew_at: Duration,
    /// Its last name is gone, and the compressed file that was made of it was seen.
    pub(crate) is_compressed: bool,
    /// When its last name was gone.
    pub(crate) deleted_at: Option<Duration>,
}

/// Lines before `until` were handed on before the restart, but for the lines of records, and the parts of lines, that had not
/// ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replay {
    until: u64,
    pending: [Option<u64>; 3],
}

/// Tells lines that were handed on before a restart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandedOn(Option<Replay>);

impl HandedOn {
    /// Whether the line at `start` was one of them.
    pub(crate) fn covers(&self, start: u64, stream: Stream) -> bool {
        self.0.is_some_and(|replay| {
            start < replay.until && replay.pending[stream.index()].is_none_or(|pending| start < pending)
        })
    }
}

impl Followed {
    pub(crate) fn new(tail: Tail, now: Duration) -> Self {
        Self {
            is_rotated: false,
            continues: false,
            was_unread: tail.line_start() == 0,
            is_carried: false,
            pending: [Pending::default(); 3],
            replay: None,
            grew_at: now,
            is_compressed: false,
            deleted_at: None,
            tail,
        }
    }

    /// Reads on where a checkpoint says.
    pub(crate) fn resume(file: File, position: &FilePosition, now: Duration) -> io::Result<Self> {
        let pending = Stream::ALL.map(|stream| position.pending.get(stream.name()).copied());
        let start = pending.iter().flatten().copied().min().unwrap_or(position.offset).min(position.offset);
        let was_never_open = position.head.length == 0;
        let tail = if was_never_open { Tail::at(file, start)? } else { Tail::new(file, start)? };
        let mut followed = Self::new(tail, now);
        followed.replay = (start < position.offset).then_some(Replay { until: position.offset, pending });
        followed.continues = position.continues && start == 0;
        Ok(followed)
    }

    pub(crate) fn key(&self) -> SourceKey {
        self.tail.key()
    }

    /// What was handed on before the restart.
    pub(crate) fn handed_on(&self) -> HandedOn {
        HandedOn(self.replay)
    }

    /// Where to go on once everything so far is durable; nothing new while lines are read a second time.
    pub(crate) fn position(
        &mut self,
        log: &Path,
        in_key: [bool; 3],
        ignored: &BTreeSet<(SourceKey, u64)>,
    ) -> Option<Position> {
        let offset = self.tail.line_start();
        if self.replay.is_some_and(|replay| offset < replay.until) {
            return None;
        }
        self.replay = None;
        let pending =
            Stream::ALL.iter().filter_map(|stream| Some((*stream, self.pending[stream.index()].start()?)));
        let pending: BTreeMap<String, u64> =
            pending.map(|(stream, at)| (stream.name().to_owned(), at)).collect();
        let in_key = Stream::ALL.iter().filter(|stream| in_key[stream.index()]);
        // before the first line is handed on it does not matter what the file begins with
        let head = if offset == 0 { Fingerprint::default() } else { self.tail.head() };
        Some(Position::File(FilePosition {
            log: log.to_owned(),
            offset,
            born_ns: self.tail.born_ns(),
            head,
            tail: self.tail.tail(),
            pending,
            in_key: in_key.map(|stream| stream.name().to_owned()).collect(),
            continues: self.continues && offset == 0,
            beside: if self.is_rotated { Vec::new() } else { ignored.iter().copied().collect() },
        }))
    }

    /// Bytes behind what was read.
    pub(crate) fn unread(&self) -> u64 {
        self.tail.metadata().map_or(0, |metadata| metadata.len().saturating_sub(self.tail.read_to()))
    }

    /// Lines in those bytes; of more than 64 MiB, extrapolated.
    pub(crate) fn unread_lines(&mut self) -> u64 {
        const MOST: u64 = 64 << 20;
        let unread = self.unread();
        let (mut lines, mut seen) = (0, 0);
        let mut buffer = vec![0; 64 << 10];
        while seen < unread.min(MOST) {
            let mut count = 0;
            let before = self.tail.read_to();
            if self.tail.round(&mut buffer, |_| count += 1).is_err() || self.tail.read_to() == before {
                break;
            }
            lines += count;
            seen += self.tail.read_to() - before;
        }
        lines += u64::from(self.tail.read_to() > self.tail.line_start());
        let all = u128::from(lines) * u128::from(unread.max(seen)) / u128::from(seen.max(1));
        u64::try_from(all).unwrap_or(lines)
    }
}
