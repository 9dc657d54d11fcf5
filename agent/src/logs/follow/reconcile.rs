//! What happened to a log's files since the last look: rotated by renaming, copied and truncated, deleted, or nothing.
//!
//! The rules, for a live file L that is read up to an offset, and a rotated file S that was not there before:
//! - Another file has L's name: L was renamed. Every such S is newer than L and is read from its beginning, then the
//!   new live file.
//! - L is shorter or begins with other bytes: it was truncated. An S with L's old text goes on at the offset (it is the
//!   copy), one with other text was written in between and is read whole, then L from its beginning.
//! - L is as before and S begins like it: a copy that is being taken. It is looked at again next time.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::time::Duration;

use crate::logs::follow::followed::Followed;
use crate::logs::follow::log::Log;
use crate::logs::follow::rotated::{Sibling, Siblings, siblings};
use crate::logs::outbox::Outbox;
use crate::logs::place::{Place, is_no_file};
use crate::logs::record::SourceKey;
use crate::logs::tail::Tail;
use crate::logs::tail::content::{head_of, holds, key_of};

/// How often the directory is listed again until nothing changes meanwhile.
const LISTINGS: usize = 8;

/// The live file and the rotated ones of one moment.
pub(super) struct Present {
    pub(super) live: Option<File>,
    /// Oldest first.
    pub(super) rotated: Vec<Sibling>,
    pub(super) compressed: Vec<Sibling>,
}

/// Lists until nothing changes meanwhile.
pub(super) fn present(place: &Place) -> io::Result<Present> {
    let mut before = siblings(&place.path);
    for _ in 0..LISTINGS {
        let live = match place.open() {
            Ok(live) => Some(live),
            Err(error) if error.kind() == io::ErrorKind::NotFound || is_no_file(&error) => None,
            Err(error) => return Err(error),
        };
        let again = siblings(&place.path);
        let identities =
            |siblings: &Siblings| siblings.rotated.iter().map(Sibling::identity).collect::<Vec<_>>();
        let same = identities(&again) == identities(&before);
        before = again;
        if same {
            let Siblings { rotated, compressed } = before;
            return Ok(Present { live, rotated, compressed });
        }
    }
    Err(io::Error::new(io::ErrorKind::WouldBlock, "rotated faster than it can be looked at"))
}

impl Log {
    /// Begins to follow a log that was not followed before, at the offset that `open` chooses. Rotated files that
    /// `is_unread` takes had the log's name while nobody looked: they are read first, whole, oldest first. Returns how
    /// many more there were, which are compressed by now.
    ///
    /// # Errors
    /// When a file cannot be opened.
    pub(crate) fn begin(
        &mut self,
        now: Duration,
        open: impl Fn(File) -> io::Result<Tail>,
        is_unread: impl Fn(&Sibling) -> bool + Copy,
    ) -> io::Result<usize> {
        let Present { live, rotated, compressed } = present(&self.real)?;
        let live = live.ok_or(io::ErrorKind::NotFound)?;
        let unread = self.newly_compressed(&rotated, &compressed, is_unread);
        for sibling in rotated {
            if is_unread(&sibling)
                && let Ok(file) = self.real.open_beside(&sibling.path)
                && !is_copy(&file, &live)?
            {
                let file = Followed::new(Tail::new(file, 0)?, now);
                self.files.push_back(Followed { is_rotated: true, ..file });
            } else {
                self.ignored.insert(sibling.identity());
            }
        }
        self.files.push_back(Followed::new(open(live)?, now));
        Ok(unread)
    }

    /// Looks what became of the files; `known` are those that are followed by any log.
    ///
    /// # Errors
    /// When the live file cannot be opened; the next look tries again.
    pub(crate) fn reconcile(
        &mut self,
        known: &BTreeSet<SourceKey>,
        now: Duration,
        out: &mut Outbox,
    ) -> io::Result<()> {
        let mut is_elsewhere = false;
        if let Ok(real) = Place::of(&self.path) {
            is_elsewhere = real.path != self.real.path;
            self.real = real;
        }
        let Present { live, rotated, compressed } = present(&self.real)?;
        let listed: BTreeSet<(SourceKey, u64)> = rotated.iter().map(Sibling::identity).collect();
        let ignored = self.ignored.len();
        self.ignored.retain(|identity| listed.contains(identity));
        let gone = ignored - self.ignored.len();
        let compressed = self.newly_compressed(&rotated, &compressed, |_| !is_elsewhere).saturating_sub(gone);
        let unread = self.explain_compressed(compressed);
        let is_unseen =
            |sibling: &Sibling| !known.contains(&sibling.key) && !self.ignored.contains(&sibling.identity());
        let newest = rotated.last().map(|sibling| sibling.key);
        let unseen: Vec<Sibling> = rotated.into_iter().filter(is_unseen).collect();
        let live_key = live.as_ref().map(File::metadata).transpose()?.map(|metadata| key_of(&metadata));
        let back_key = self.files.back().map(Followed::key);
        match live {
            Some(live) if live_key == back_key => self.same_name(live, unseen, newest, now, out),
            live => {
                // each had the log's name since the last look
                out.status.lose("rotated_away", unread as u64);
                let is_new = live_key.is_some_and(|key| !known.contains(&key));
                self.renamed(live.filter(|_| is_new), unseen, now)
            }
        }
    }

    /// The live file has the name it had.
    ///
    /// `newest` is the rotated file that may be a copy being taken.
    fn same_name(
        &mut self,
        live: File,
        unseen: Vec<Sibling>,
        newest: Option<SourceKey>,
        now: Duration,
        out: &mut Outbox,
    ) -> io::Result<()> {
        let Some(back) = self.files.back_mut() else { return Ok(()) };
        back.is_rotated = false;
        if !back.tail.is_same()? {
            return self.truncated(live, unseen, now, out);
        }
        let nothing_read = std::mem::replace(&mut back.was_unread, back.tail.line_start() == 0);
        for sibling in unseen {
            let Ok(file) = self.real.open_beside(&sibling.path) else { continue };
            let may_be_copy = Some(sibling.key) == newest && is_copy(&file, &live)?;
            if file.metadata()?.len() == 0 || may_be_copy {
                continue;
            }
            if nothing_read {
                // written, copied and truncated before anything of it was read
                self.insert_before_live(Followed::new(Tail::new(file, 0)?, now));
                self.mark_all(out);
            } else {
                self.ignored.insert(sibling.identity());
            }
        }
        Ok(())
    }

    fn insert_before_live(&mut self, mut file: Followed) {
        file.is_rotated = true;
        file.continues = self.files.len() > 1;
        if let Some(mut live) = self.files.pop_back() {
            let prefix = live.tail.take_prefix();
            file.continues |= !prefix.is_empty();
            file.tail.set_prefix(prefix);
            live.continues = true;
            live.tail.begin_again();
            self.files.push_back(file);
            self.files.push_back(live);
        }
        self.is_hot = true;
    }

    /// The live file was truncated; what was not yet read of it is in its copy, if one was taken.
    fn truncated(
        &mut self,
        live: File,
        unseen: Vec<Sibling>,
        now: Duration,
        out: &mut Outbox,
    ) -> io::Result<()> {
        let Some(mut old) = self.files.pop_back() else { return Ok(()) };
        let (head, tail, offset) = (old.tail.head(), old.tail.tail(), old.tail.line_start());
        let mut copied = false;
        let mut before = Vec::new();
        for sibling in unseen {
            let Ok(file) = self.real.open_beside(&sibling.path) else { continue };
            if head.length > 0 && holds(&file, head, Default::default(), 0)? {
                // a copy; a shorter or fully read one holds nothing new
                if holds(&file, head, tail, offset)? && file.metadata()?.len() > offset && !copied {
                    copied = true;
                    let copy = Followed::new(Tail::new(file, offset)?, now);
                    before.push(Followed { continues: old.continues, pending: old.pending, ..copy });
                } else {
                    self.ignored.insert(sibling.identity());
                }
            } else {
                let file = Followed::new(Tail::new(file, 0)?, now);
                before.push(Followed { continues: true, ..file });
            }
        }
        match before.first_mut() {
            Some(first) if old.tail.line_start() == 0 => first.tail.set_prefix(old.tail.take_prefix()),
            _ if !copied => {
                // and nobody can read it again
                self.hand_on_partial(&mut old, out);
                self.finish_groups(|_| true, out);
            }
            _ => {}
        }
        let continues = !before.is_empty();
        for file in before {
            self.files.push_back(Followed { is_rotated: true, ..file });
        }
        let live = Followed::new(Tail::new(live, 0)?, now);
        self.files.push_back(Followed { continues, ..live });
        self.is_hot = true;
        out.status.replaced.add(1);
        self.mark_all(out);
        Ok(())
    }

    /// The name belongs to another file now, or to none.
    fn renamed(&mut self, live: Option<File>, unseen: Vec<Sibling>, now: Duration) -> io::Result<()> {
        let back = self.files.back_mut().map(|back| {
            back.is_rotated = true;
            (back.tail.head(), back.tail.tail(), back.tail.line_start())
        });
        for sibling in unseen {
            let Ok(file) = self.real.open_beside(&sibling.path) else { continue };
            if let Some((head, tail, offset)) = back
                && offset > 0
                && holds(&file, head, tail, offset)?
            {
                self.ignored.insert(sibling.identity());
                continue;
            }
            let file = Followed::new(Tail::new(file, 0)?, now);
            self.files.push_back(Followed { is_rotated: true, ..file });
            self.is_hot = true;
        }
        if let Some(live) = live {
            self.files.push_back(Followed::new(Tail::new(live, 0)?, now));
            self.is_hot = true;
        }
        Ok(())
    }
}

/// Whether the rotated file may be a copy of the live one that is being taken: as long at most, with the same text.
pub(super) fn is_copy(file: &File, live: &File) -> io::Result<bool> {
    let length = file.metadata()?.len();
    let head = head_of(file)?;
    Ok(length <= live.metadata()?.len() && head_of(live)?.starts_with(&head))
}
