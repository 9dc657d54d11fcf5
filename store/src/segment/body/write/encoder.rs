//! The one encoder of a store, for whoever writes: one block at a time.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::template::Encoder;

/// Encodes blocks of all writers, one after the other. Its buffers go with the last of a file's blocks.
#[derive(Debug, Default)]
pub(crate) struct BlockEncoder(Mutex<Option<Encoder>>);

/// The encoder, while nobody else has it.
#[derive(Debug)]
pub(super) struct Alone<'a>(MutexGuard<'a, Option<Encoder>>);

impl BlockEncoder {
    /// Waits until nobody encodes. A writer that panicked left nothing that the next block would see.
    pub(super) fn alone(&self) -> Alone<'_> {
        Alone(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets go of the buffers: they are as large as the largest block was.
    pub(super) fn release(&self) {
        *self.alone().0 = None;
    }
}

impl Alone<'_> {
    pub(super) fn encoder(&mut self) -> io::Result<&mut Encoder> {
        if self.0.is_none() {
            *self.0 = Some(Encoder::new()?);
        }
        self.0.as_mut().ok_or_else(|| io::Error::other("an encoder that was just made is gone"))
    }
}
