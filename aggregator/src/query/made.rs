//! What the functions of one query have made and somebody still holds: bounded, whoever holds it.
//!
//! The engine counts what its sorts, joins and groups hold, but not the values that expressions make. Each call of a
//! function that makes something asks here before; what it made is remembered by its buffers, and given back when nobody
//! else holds them. The ledger of a query travels in its settings, which every call of a function is handed.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{Array as _, ArrayData, ArrayRef};
use arrow::buffer::Buffer;
use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::common::{Result, config_err, resources_err};

/// Buffers below this are not worth remembering, bytes.
const SMALL: usize = 1 << 10;

/// The ledger of one query; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    most: usize,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    /// By where they lie: two arrays may share one.
    buffers: HashMap<usize, Buffer>,
    bytes: usize,
    /// What calls that run now may make, and what will not be given back.
    promised: usize,
}

/// Room for what a call makes, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Promise<'a> {
    made: &'a Made,
    bytes: usize,
}

impl Made {
    /// At most so many bytes at a time.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, held: Arc::default() }
    }

    /// The ledger of the query with these settings.
    pub(crate) fn of(options: &ConfigOptions) -> Option<&Self> {
        options.extensions.get::<Self>()
    }

    /// The most bytes that may be held.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Room for a call that makes at most so many bytes.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn promise(&self, name: &str, bytes: u128) -> Result<Promise<'_>> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut held = self.lock();
        if held.total().saturating_add(bytes) > self.most {
            held.forget();
        }
        let total = held.total();
        if total.saturating_add(bytes) > self.most {
            return resources_err!(
                "{name} would make up to {bytes} bytes, beside {total} that this query's expressions hold; at most {} may be",
                self.most
            );
        }
        held.promised += bytes;
        Ok(Promise { made: self, bytes })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // no change leaves it half done
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        let mut held = self.lock();
        held.forget();
        held.total()
    }
}

impl Promise<'_> {
    /// The call made this.
    pub(crate) fn keep(self, array: &ArrayRef) {
        let mut held = self.made.lock();
        held.add(&array.to_data());
    }

    /// The call made a constant, which the plan holds until the query ends.
    pub(crate) fn keep_constant(mut self, bytes: usize) {
        self.made.lock().promised += bytes;
        self.release();
    }

    fn release(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut held = self.made.lock();
        held.promised = held.promised.saturating_sub(bytes);
    }
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

impl Held {
    fn total(&self) -> usize {
        self.bytes.saturating_add(self.promised)
    }

    /// Gives back what nobody else holds.
    fn forget(&mut self) {
        self.buffers.retain(|_, buffer| buffer.strong_count() > 1);
        self.bytes = self.buffers.values().map(Buffer::capacity).sum();
    }

    fn add(&mut self, data: &ArrayData) {
        let nulls = data.nulls().map(|nulls| nulls.buffer());
        for buffer in data.buffers().iter().chain(nulls).filter(|buffer| buffer.capacity() >= SMALL) {
            let place = buffer.data_ptr().as_ptr() as usize;
            if self.buffers.insert(place, buffer.clone()).is_none() {
                self.bytes = self.bytes.saturating_add(buffer.capacity());
            }
        }
        data.child_data().iter().for_each(|child| self.add(child));
    }
}

impl ConfigExtension for Made {
    const PREFIX: &'static str = "wake";
}

impl ExtensionOptions for Made {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    /// The same ledger: settings are copied while a query is planned.
    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _value: &str) -> Result<()> {
        config_err!("there is no setting {key}")
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array as _, ArrayRef, StringArray};

    use super::Made;

    fn text(bytes: usize) -> ArrayRef {
        Arc::new(StringArray::from(vec!["x".repeat(bytes)]))
    }

    #[test]
    fn what_is_still_held_counts_and_what_is_not_is_given_back() {
        let made = Made::new(1 << 20);
        let first = text(600 << 10);
        made.promise("f", 700 << 10).unwrap().keep(&first);
        let slice = first.slice(0, 1);
        // another array of the same bytes is no more of them
        made.promise("f", 1).unwrap().keep(&slice);
        assert!((600 << 10..700 << 10).contains(&made.bytes()), "{}", made.bytes());
        drop(first);
        assert!(made.promise("f", 500 << 10).is_err(), "the slice holds it");
        drop(slice);
        let promise = made.promise("f", 500 << 10).unwrap();
        assert!(made.promise("g", 600 << 10).is_err(), "a call that runs counts");
        drop(promise);
        assert_eq!(made.bytes(), 0);
    }

    #[test]
    fn constants_stay() {
        let made = Made::new(1 << 20);
        made.promise("f", 1 << 20).unwrap().keep_constant(900 << 10);
        assert_eq!(made.bytes(), 900 << 10);
        assert!(made.promise("f", 200 << 10).is_err());
    }
}
