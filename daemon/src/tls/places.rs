//! Places for connections: so many in all, and so many of one address, so that one peer cannot keep all others out.
//!
//! Whoever comes over loopback is not told apart: a proxy or a port-forward stands for many there.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of one listener; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    each: usize,
    /// How many each address has; it has an entry while it has any.
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _one: OwnedSemaphorePermit,
    of: Option<(IpAddr, Places)>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// All are taken.
    Full,
    /// This address has as many as one may have.
    Share,
}

impl Places {
    pub(super) fn new(most: usize, each: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(most)), each, taken: Arc::default() }
    }

    /// Waits until any place is free.
    pub(super) async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.all).acquire_owned().await.ok()
    }

    /// A place for this address, now.
    pub(super) fn take(&self, address: IpAddr) -> Result<Place, NoPlace> {
        let one = Arc::clone(&self.all).try_acquire_owned().map_err(|_none| NoPlace::Full)?;
        self.give(one, address)
    }

    /// This place for this address.
    pub(super) fn give(&self, one: OwnedSemaphorePermit, address: IpAddr) -> Result<Place, NoPlace> {
        let address = address.to_canonical();
        if address.is_loopback() {
            return Ok(Place { _one: one, of: None });
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(address).or_default();
        if *count >= self.each {
            return Err(NoPlace::Share);
        }
        *count += 1;
        Ok(Place { _one: one, of: Some((address, self.clone())) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((address, places)) = &self.of else { return };
        let mut taken = places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.remove(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{NoPlace, Places};

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_has_a_share_and_what_ends_makes_room() {
        let places = Places::new(5, 2);
        let (greedy, other) = (address("10.0.0.1"), address("10.0.0.2"));
        let first = places.take(greedy).unwrap();
        let _second = places.take(address("::ffff:10.0.0.1")).unwrap();
        assert_eq!(places.take(greedy).unwrap_err(), NoPlace::Share);
        let others = [places.take(other).unwrap(), places.take(other).unwrap()];
        let _local = places.take(address("127.0.0.1")).unwrap();
        assert_eq!(places.take(address("10.0.0.3")).unwrap_err(), NoPlace::Full);
        drop(first);
        drop(places.take(greedy).unwrap());
        drop(others);
        assert_eq!(places.taken.lock().unwrap().len(), 1, "who has none is forgotten");
    }

    #[test]
    fn over_loopback_nobody_is_told_apart() {
        let places = Places::new(3, 1);
        let taken = ["127.0.0.1", "127.0.0.1", "::1"].map(|text| places.take(address(text)).unwrap());
        assert_eq!(places.take(address("127.0.0.1")).unwrap_err(), NoPlace::Full);
        drop(taken);
    }
}
