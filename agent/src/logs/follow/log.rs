//! One log: the file that has its name now, and those rotated away from it that are not yet read to their end.
//!
//! Files are read one after the other, oldest first, so that a line which begins in one and ends in the next can be
//! joined. A file that was read to its end stays open for a while, since its writer may still have it open.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::logs::annotations::{Annotations, Reading};
use crate::logs::follow::followed::Followed;
use crate::logs::follow::framing::Framing;
use crate::logs::follow::pending::{Ended, Pending};
use crate::logs::follow::rotated::identity;
use crate::logs::multiline::Group;
use crate::logs::outbox::Outbox;
use crate::logs::owner::Owners;
use crate::logs::place::Place;
use crate::logs::record::{Origin, SourceKey};
use crate::logs::tail::{Line, Round};

/// A deleted file is read on for so long.
const DRAIN_DELETED: Duration = Duration::from_secs(30);
/// A rotated file that is still there stays open for so long after it last grew.
const DRAIN_ROTATED: Duration = Duration::from_secs(300);

/// A log and its files.
#[derive(Debug)]
pub(crate) struct Log {
    /// The path that the glob found.
    pub(crate) path: PathBuf,
    /// The same without symbolic links: rotation happens there.
    pub(crate) real: Place,
    /// Oldest first; the last one is live unless it `is_rotated`.
    pub(crate) files: VecDeque<Followed>,
    /// Read to their end, and still open.
    pub(crate) lingering: Vec<Followed>,
    /// Rotated files that are none of ours.
    pub(crate) ignored: BTreeSet<(SourceKey, u64)>,
    /// Compressed ones of which it is known whether they were read before.
    pub(crate) compressed: BTreeSet<(SourceKey, u64)>,
    /// There may be something to read.
    pub(crate) is_hot: bool,
    lines: Framing,
}

/// Who is asked about a log: whose it is, and whether it is to be read.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) owners: &'a mut Owners,
    pub(crate) annotations: &'a mut Annotations,
}

/// What a look at a log came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Something was read; there may be more.
    Read,
    /// Nothing to read now.
    Idle,
    /// The live file holds another text than before, or begins to hold some: whether it was rotated must be looked at
    /// before it is read.
    Unsure,
}

/// Whether that was just done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    No,
    Yes,
}

impl Log {
    pub(crate) fn new(path: PathBuf, real: Place, lines: Framing) -> Self {
        Self {
            path,
            real,
            files: VecDeque::new(),
            lingering: Vec::new(),
            ignored: BTreeSet::new(),
            compressed: BTreeSet::new(),
            is_hot: true,
            lines,
        }
    }

    /// Every file that is open for this log.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Followed> {
        self.lingering.iter().chain(&self.files)
    }

    /// Streams that a checkpoint says are inside a private key.
    pub(crate) fn resume_keys(&mut self, streams: &[String]) {
        self.lines.resume_keys(streams);
    }

    /// Whether it is read, at the last look.
    pub(crate) fn reading(&self) -> Reading {
        self.lines.told().reading
    }

    /// Since when it waits for what is told of its pod, if it does.
    pub(crate) fn waits_since(&self) -> Option<Duration> {
        self.lines.told().waits_since()
    }

    /// Reads each lingering file and the oldest other one once, unless the log has to wait.
    ///
    /// # Errors
    /// When a file cannot be read; the others may have been.
    pub(crate) fn round(
        &mut self,
        out: &mut Outbox,
        asked: Asked<'_>,
        now: Duration,
        buffer: &mut [u8],
        looked: Looked,
    ) -> io::Result<Progress> {
        let mut progress = Progress::Idle;
        self.lines.begin_round(now);
        if self.all().any(|file| file.unread() > 0) {
            let Asked { owners, annotations } = asked;
            self.lines.find_owner(&self.path, &self.real.path, owners);
            if self.lines.ask(&self.path, annotations, &out.status, now) == Reading::Waits {
                return Ok(Progress::Idle);
            }
        }
        for index in 0..self.lingering.len() {
            if self.read_one(Which::Lingering(index), out, now, buffer)? == Round::Read {
                progress = Progress::Read;
            }
        }
        if self.files.is_empty() {
            return Ok(progress);
        }
        let front = &self.files[0];
        if looked == Looked::No && front.was_unread && !front.is_rotated && front.unread() > 0 {
            return Ok(Progress::Unsure);
        }
        match self.read_one(Which::Front, out, now, buffer)? {
            Round::Read => Ok(Progress::Read),
            Round::AtEnd if self.has_successor_with_text() => {
                // the writer went on in the next file: what it wrote here before is there by now
                if self.read_one(Which::Front, out, now, buffer)? == Round::AtEnd {
                    self.retire_front(out, now);
                }
                Ok(Progress::Read)
            }
            Round::AtEnd => Ok(progress),
            Round::Replaced if self.files.len() == 1 && !self.files[0].is_rotated => Ok(Progress::Unsure),
            Round::Replaced => {
                // a rotated file that was emptied: there is nothing more to have from it
                if let Some(mut gone) = self.files.pop_front() {
                    self.hand_on_partial(&mut gone, out);
                    self.hand_on_pending(gone.key(), gone.tail.line_start(), gone.pending, out);
                    out.mark(gone.key(), None);
                    self.ignored.extend(gone.tail.metadata().ok().as_ref().map(identity));
                }
                Ok(Progress::Read)
            }
        }
    }

    fn read_one(
        &mut self,
        which: Which,
        out: &mut Outbox,
        now: Duration,
        buffer: &mut [u8],
    ) -> io::Result<Round> {
        let Self { path, files, lingering, lines, ignored, .. } = self;
        let file = match which {
            Which::Front => files.front_mut(),
            Which::Lingering(index) => lingering.get_mut(index),
        };
        let Some(file) = file else { return Ok(Round::AtEnd) };
        let before = file.tail.line_start();
        let key = file.key();
        let mut place = std::mem::take(&mut file.pending);
        // the tail is borrowed by the closure's caller, so the rest of the file is looked at through copies
        let seen = file.handed_on();
        let round = file.tail.round(buffer, |line| lines.take(line, key, &mut place, &seen, out));
        file.pending = place;
        let round = round?;
        if round == Round::Read {
            file.grew_at = now;
        }
        if file.tail.line_start() > before {
            let ended = std::mem::take(&mut lines.ended);
            if let Some(position) = file.position(path, lines.in_key(), ignored) {
                out.mark(key, Some(position));
            }
            let began_elsewhere = before == 0 && file.continues;
            self.settle(ended, began_elsewhere, key, out);
        }
        Ok(round)
    }

    /// After lines were handed on: parts of them in other files are no longer needed.
    fn settle(&mut self, ended: [Ended; 3], first_line_ended: bool, by: SourceKey, out: &mut Outbox) {
        let Self { path, files, lingering, lines, ignored, .. } = self;
        for file in lingering.iter_mut().chain(files).filter(|file| file.key() != by) {
            let before = file.pending;
            for (pending, ended) in file.pending.iter_mut().zip(ended) {
                pending.settle(ended);
            }
            if file.pending != before
                && let Some(position) = file.position(path, lines.in_key(), ignored)
            {
                out.mark(file.key(), Some(position));
            }
        }
        if first_line_ended {
            let carried = self.lingering.iter().filter(|file| file.is_carried);
            let carried = carried.map(|file| (file.key(), file.tail.line_start(), file.pending));
            for (key, end, pending) in carried.collect::<Vec<_>>() {
                self.hand_on_pending(key, end, pending, out);
                out.mark(key, None);
            }
            for file in self.lingering.extract_if(.., |file| file.is_carried) {
                self.ignored.extend(file.tail.metadata().ok().as_ref().map(identity));
            }
        }
    }

    fn has_successor_with_text(&self) -> bool {
        let next = self.files.get(1);
        next.is_some_and(|next| {
            next.is_rotated || next.tail.metadata().is_ok_and(|metadata| metadata.len() > 0)
        })
    }

    /// The oldest file is read to its end and the next one has begun.
    fn retire_front(&mut self, out: &mut Outbox, now: Duration) {
        let Some(mut front) = self.files.pop_front() else { return };
        if let Some(next) = self.files.front_mut()
            && next.continues
            && next.tail.line_start() == 0
            && front.tail.has_partial()
        {
            next.tail.set_prefix(front.tail.partial());
            front.is_carried = true;
        }
        out.status.rotated.add(1);
        front.grew_at = now;
        self.lingering.push(front);
    }

    /// Closes files that are done with, and gives up on deleted ones.
    pub(crate) fn expire(&mut self, out: &mut Outbox, now: Duration) {
        for file in self.lingering.iter_mut().chain(&mut self.files) {
            let is_deleted = file
                .tail
                .metadata()
                .is_ok_and(|metadata| std::os::unix::fs::MetadataExt::nlink(&metadata) == 0);
            file.deleted_at = if is_deleted { file.deleted_at.or(Some(now)) } else { None };
        }
        let is_over = |file: &Followed| match file.deleted_at {
            Some(at) => now.saturating_sub(at) >= DRAIN_DELETED,
            None => {
                // one whose last line goes on in the next file is needed until that line has ended
                file.is_rotated
                    && !file.is_carried
                    && now.saturating_sub(file.grew_at) >= DRAIN_ROTATED
                    && file.unread() == 0
            }
        };
        let mut index = 0;
        while index < self.lingering.len() {
            if is_over(&self.lingering[index]) {
                let file = self.lingering.remove(index);
                self.close(file, out);
            } else {
                index += 1;
            }
        }
        while self.files.front().is_some_and(|front| front.deleted_at.is_some() && is_over(front)) {
            if let Some(file) = self.files.pop_front() {
                self.close(file, out);
            }
        }
    }

    /// The file's last, unfinished line counts as one; what was not read is lost.
    fn close(&mut self, mut file: Followed, out: &mut Outbox) {
        let key = file.key();
        if file.unread() > 0 {
            out.status.lose("deleted_unread", file.unread_lines());
        } else if !file.is_carried {
            self.hand_on_partial(&mut file, out);
        }
        self.hand_on_pending(key, file.tail.line_start(), file.pending, out);
        out.mark(key, None);
        // it may still be there under a rotated name
        self.ignored.extend(file.tail.metadata().ok().as_ref().map(identity));
        self.mark_all(out);
    }

    /// What was read of a file up to `end` and waits for more goes on as it is: after its mark nothing would read it again.
    fn hand_on_pending(&mut self, source: SourceKey, end: u64, pending: [Pending; 3], out: &mut Outbox) {
        if self.files.is_empty() && self.lingering.is_empty() {
            self.lines.finish_joins(Origin { source, start: end, end }, out);
        } else if pending.iter().any(Pending::has_part) {
            self.cut_joins(out);
        } else if pending.iter().any(|pending| pending.start().is_some()) {
            self.finish_groups(|_| true, out);
        }
    }

    /// The file ends in the middle of a line: what there is of it is handed on.
    pub(crate) fn hand_on_partial(&mut self, file: &mut Followed, out: &mut Outbox) {
        let key = file.key();
        if let Some((bytes, start, end, cut)) = file.tail.take_partial()
            && !bytes.is_empty()
        {
            let seen = file.handed_on();
            let line = Line { bytes: &bytes, start, end, cut };
            self.lines.take(line, key, &mut file.pending, &seen, out);
        }
    }

    /// Memory held for parts of lines that are joined.
    pub(crate) fn held_joins(&self) -> usize {
        self.lines.held()
    }

    /// Hands these parts on as they are, as cut lines.
    pub(crate) fn cut_joins(&mut self, out: &mut Outbox) {
        let Some(last) = self.all().last() else { return };
        let (source, end) = (last.key(), last.tail.line_start());
        self.lines.cut_joins(Origin { source, start: end, end }, out);
        for file in self.lingering.iter_mut().chain(&mut self.files) {
            file.pending = [Pending::default(); 3];
        }
        self.mark_all(out);
    }

    /// Hands on records to which nothing was added for a while, although all is read. Whether others wait.
    pub(crate) fn flush(&mut self, out: &mut Outbox, now: Duration) -> bool {
        let (is_open, is_quiet) = self.lines.waiting(now);
        if is_quiet {
            let is_read = self.all().all(|file| file.unread() == 0);
            self.finish_groups(|group| group.is_stuck(now) || (is_read && group.is_quiet(now)), out);
        }
        is_open
    }

    /// Hands on these records as they are.
    pub(crate) fn finish_groups(&mut self, wanted: impl Fn(&Group) -> bool, out: &mut Outbox) {
        let finished = self.lines.finish_groups(wanted, out);
        if finished.contains(&true) {
            for file in self.lingering.iter_mut().chain(&mut self.files) {
                let pending = file.pending.iter_mut().zip(finished).filter(|(_, is_finished)| *is_finished);
                pending.for_each(|(pending, _)| pending.record_ended());
            }
            self.mark_all(out);
        }
    }

    /// The mark of every file, as it is now.
    pub(crate) fn mark_all(&mut self, out: &mut Outbox) {
        for file in self.lingering.iter_mut().chain(&mut self.files) {
            if let Some(position) = file.position(&self.path, self.lines.in_key(), &self.ignored) {
                out.mark(file.tail.key(), Some(position));
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Which {
    Front,
    Lingering(usize),
}
