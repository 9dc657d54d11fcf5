//! Footers, page indexes and sketches in memory, within a budget; the least recently used go first.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{BodyFile, ColumnsFile, Sketch};

/// What is kept of a segment.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    Columns(Arc<ColumnsFile>),
    Body(Arc<BodyFile>),
    Blooms(Arc<Vec<u8>>),
    Sketch(Arc<Sketch>),
}

/// Which part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Columns,
    Body,
    Blooms,
    Sketch,
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
        while slots.bytes > self.budget {
            let oldest = slots.slots.iter().min_by_key(|(_, slot)| slot.used).map(|(key, _)| *key);
            let Some(slot) = oldest.and_then(|key| slots.slots.remove(&key)) else { break };
            slots.bytes -= slot.bytes;
        }
        Ok(kept)
    }

    /// What is kept, or what `load` gives; nothing where it would push out something else.
    pub(super) fn get_if_room(
        &self,
        segment: u64,
        part: Part,
        bytes: usize,
        load: impl FnOnce() -> io::Result<Kept>,
    ) -> io::Result<Option<Kept>> {
        let room = {
            let slots = self.lock();
            slots.slots.contains_key(&(segment, part)) || slots.bytes + bytes <= self.budget
        };
        if !room {
            return Ok(None);
        }
        self.get(segment, part, || Ok((load()?, bytes))).map(Some)
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
