//! Names of versions by number, for as long as counts come together: at most [`MOST`] are told apart.

use std::collections::HashMap;

/// Different versions of all workloads.
const MOST: usize = 16_384;

/// A version among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Version(u32);

impl Version {
    /// Lines that were counted without regard to their version.
    pub(crate) const UNTOLD: Self = Self(0);
    /// Lines of versions beyond those that are told apart.
    pub(crate) const OTHER: Self = Self(1);
}

/// What stands for [`Version::OTHER`].
const OTHER_NAME: &str = "(other)";

/// The names.
#[derive(Debug)]
pub(crate) struct Versions {
    /// From the second number on.
    names: Vec<Box<str>>,
    places: HashMap<Box<str>, Version>,
}

impl Default for Versions {
    fn default() -> Self {
        let other = (Box::from(OTHER_NAME), Version::OTHER);
        Self { names: vec![Box::from(OTHER_NAME)], places: HashMap::from([other]) }
    }
}

impl Versions {
    /// The number of a name.
    pub(crate) fn place(&mut self, name: &str) -> Version {
        if let Some(known) = self.places.get(name) {
            return *known;
        }
        if self.names.len() >= MOST {
            return Version::OTHER;
        }
        self.names.push(Box::from(name));
        let place = Version(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        self.places.insert(Box::from(name), place);
        place
    }

    /// The number of a name that has one.
    pub(crate) fn known(&self, name: &str) -> Option<Version> {
        self.places.get(name).copied()
    }

    /// The name of a number; `None` where versions were not told apart.
    pub(crate) fn name(&self, version: Version) -> Option<&str> {
        let at = version.0.checked_sub(1)?;
        self.names.get(at as usize).map(|name| &**name)
    }

    /// Memory, bytes, roughly.
    pub(crate) fn memory(&self) -> usize {
        self.names.iter().map(|name| 2 * name.len() + 64).sum()
    }
}
