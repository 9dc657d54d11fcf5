//! Footers, page indexes, sketches, blooms and heads of blocks in memory, within one budget. Footers push out what was not
//! used for longest; heads only take what room there is, and blooms, of which single blocks are read as cheaply, only what
//! there is of the first half.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{BodyFile, ColumnsFile, PatternCounts, Sketch, Terms};
use crate::template::BlockHead;

/// What is kept of a segment.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    Columns(Arc<ColumnsFile>),
    Body(Arc<BodyFile>),
    Blooms(Arc<Vec<u8>>),
    Sketch(Arc<Sketch>),
    Head(Arc<BlockHead>),
    Patterns(Arc<PatternCounts>),
    Terms(Arc<Terms>),
}

/// Which part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Columns,
    Body,
    Blooms,
    Sketch,
    /// The head of the block that is this page of the bodies.
    Head(u32),
    Patterns,
    Terms,
}

#[derive(Debug)]
struct Slot {
    kept: Kept,
    bytes: usize,
    used: u64,
}

#[derive(Debug, Default)]
struct Slots {
    slots: HashMap<(u64, Part), Slot>,
    bytes: usize,
    clock: u64,
}

impl Slots {
    /// Takes out what was not used for longest: an eighth more than must be, so that it is not done for every part.
    fn make_room(&mut self, budget: usize) {
        if self.bytes <= budget {
            return;
        }
        let mut by_use: Vec<_> = self.slots.iter().map(|(key, slot)| (slot.used, *key)).collect();
        by_use.sort_unstable_by_key(|(used, _)| *used);
        for (_, key) in by_use {
            if self.bytes <= budget / 8 * 7 {
                break;
            }
            self.bytes -= self.slots.remove(&key).map_or(0, |slot| slot.bytes);
        }
    }
}

/// A cache by segment and part.
#[derive(Debug)]
pub(super) struct Cache {
    budget: usize,
    slots: Mutex<Slots>,
}

impl Cache {
    pub(super) fn new(budget: usize) -> Self {
        Self { budget, slots: Mutex::default() }
    }

    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// What is kept, or what `load` gives, which is kept then.
    pub(super) fn get(
        &self,
        segment: u64,
        part: Part,
        load: impl FnOnce() -> io::Result<(Kept, usize)>,
    ) -> io::Result<Kept> {
        {
            let mut slots = self.lock();
            slots.clock += 1;
            let clock = slots.clock;
            if let Some(slot) = slots.slots.get_mut(&(segment, part)) {
                slot.used = clock;
                return Ok(slot.kept.clone());
            }
        }
        let (kept, bytes) = load()?;
        let mut slots = self.lock();
        let used = slots.clock;
        let slot = Slot { kept: kept.clone(), bytes, used };
        slots.bytes += bytes;
        if let Some(before) = slots.slots.insert((segment, part), slot) {
            slots.bytes -= before.bytes;
        }
        slots.make_room(self.budget);
        Ok(kept)
    }

    /// What is kept, or what `load` gives; nothing where it would take room of the other half of the budget, which is for
    /// what answers without it.
    pub(super) fn get_if_room(
        &self,
        segment: u64,
        part: Part,
        bytes: usize,
        load: impl FnOnce() -> io::Result<Kept>,
    ) -> io::Result<Option<Kept>> {
        if let Some(kept) = self.peek(segment, part) {
            return Ok(Some(kept));
        }
        if self.lock().bytes + bytes > self.budget / 2 {
            return Ok(None);
        }
        self.get(segment, part, || Ok((load()?, bytes))).map(Some)
    }

    /// What is kept.
    pub(super) fn peek(&self, segment: u64, part: Part) -> Option<Kept> {
        let mut slots = self.lock();
        slots.clock += 1;
        let clock = slots.clock;
        let slot = slots.slots.get_mut(&(segment, part))?;
        slot.used = clock;
        Some(slot.kept.clone())
    }

    /// Keeps something if that pushes out nothing else.
    pub(super) fn offer(&self, segment: u64, part: Part, kept: Kept, bytes: usize) {
        let mut slots = self.lock();
        if slots.bytes + bytes > self.budget {
            return;
        }
        let used = slots.clock;
        slots.bytes += bytes;
        if let Some(before) = slots.slots.insert((segment, part), Slot { kept, bytes, used }) {
            slots.bytes -= before.bytes;
        }
    }

    /// Lets go of everything of these segments.
    pub(super) fn forget(&self, segments: &[u64]) {
        let mut slots = self.lock();
        let mut bytes = 0;
        slots.slots.retain(|(segment, _), slot| {
            let stays = !segments.contains(segment);
            bytes += if stays { slot.bytes } else { 0 };
            stays
        });
        slots.bytes = bytes;
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
