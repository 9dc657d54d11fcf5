//! Maps that one probe's object lends to another's, by name. The borrower must know what is in them: both say so by the
//! layout that their objects are checked for.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

/// What was lent so far; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Lent {
    maps: Arc<Mutex<BTreeMap<&'static str, OwnedFd>>>,
}

impl Lent {
    /// Lends a map, in the place of an earlier one of that name.
    pub fn lend(&self, name: &'static str, map: OwnedFd) {
        self.maps.lock().unwrap_or_else(PoisonError::into_inner).insert(name, map);
    }

    /// A descriptor of its own for a map that was lent.
    pub fn borrow(&self, name: &str) -> Option<OwnedFd> {
        self.maps.lock().unwrap_or_else(PoisonError::into_inner).get(name)?.try_clone().ok()
    }
}
