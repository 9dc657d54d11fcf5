//! Reading hash maps whole, in batches where the kernel has them.
//!
//! In: a hash or per-CPU hash of plain keys and values. Out: each entry once, to a closure; no allocation per window.
//! A batch that is smaller than one bucket gives ENOSPC: start at 4,096 entries' worth of memory, and double.
//! Does not: know what is in the map; a value may change while it is read (each field is one word).

use std::marker::PhantomData;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, RawFd};

use agent_common::plain::Plain;
use aya::maps::{Map, MapData};

use super::KernelFeatures;

mod sys;

pub(super) use sys::{lookup, size_of_values, update};

/// Writes the bytes of a value under a key; they are as long as the map's values.
pub(super) fn update_bytes<K: Plain>(map: BorrowedFd<'_>, key: &K, value: &[u8]) -> std::io::Result<()> {
    update(map.as_raw_fd(), key, value)
}

/// First size of a batch, in bytes of values: big enough for any bucket seen, small enough to stay in cache.
const FIRST_BATCH_BYTES: usize = 128 * 1024;
const MOST_ENTRIES: usize = 1 << 20;

/// What a map operation answered.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// The object has no such map, or of another type or size.
    #[error("map {name}: {detail}")]
    Shape {
        /// Name in the object
        name: String,
        /// What was expected
        detail: String,
    },
    /// The kernel refused.
    #[error("{operation} of map: {source}")]
    Operation {
        /// e.g. `lookup batch`
        operation: &'static str,
        /// errno
        source: std::io::Error,
    },
}

/// A hash or per-CPU hash map that is read as a whole.
pub struct Dump<K, V> {
    map: MapData,
    /// Values per key: 1, or one per possible CPU.
    copies: usize,
    keys: Vec<u8>,
    values: Vec<u8>,
    /// The kernel has batch operations for it; found out at the first read.
    batches: bool,
    kind: PhantomData<(K, V)>,
}

impl<K, V> std::fmt::Debug for Dump<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dump")
            .field("copies", &self.copies)
            .field("batches", &self.batches)
            .finish_non_exhaustive()
    }
}

/// The values of one key: one, or one per possible CPU.
#[derive(Debug)]
pub struct Values<'a, V> {
    bytes: &'a [u8],
    kind: PhantomData<V>,
}

impl<V: Plain> Values<'_, V> {
    /// Each CPU's value; of a plain hash just the one.
    pub fn iter(&self) -> impl Iterator<Item = V> {
        self.bytes.chunks_exact(stride::<V>()).map(read::<V>)
    }

    /// The value of a plain hash, or the first CPU's.
    pub fn one(&self) -> V {
        read(self.bytes)
    }
}

impl<K: Plain, V: Plain> Dump<K, V> {
    /// Takes over a map of this object; refuses one whose key and value have other sizes.
    pub fn new(map: Map, features: &KernelFeatures) -> Result<Self, MapError> {
        let shape = |detail: String| MapError::Shape { name: std::any::type_name::<V>().to_owned(), detail };
        let (map, copies) = match map {
            Map::HashMap(data) | Map::LruHashMap(data) => (data, 1),
            Map::PerCpuHashMap(data) | Map::PerCpuLruHashMap(data) => (data, features.possible_cpus),
            _ => return Err(shape("not a hash map".into())),
        };
        let info = map.info().map_err(|error| shape(error.to_string()))?;
        if info.key_size() as usize != size_of::<K>() || info.value_size() as usize != size_of::<V>() {
            return Err(shape(format!(
                "key of {} and value of {} bytes",
                info.key_size(),
                info.value_size()
            )));
        }
        let entries = (FIRST_BATCH_BYTES / size_of_values::<V>(copies)).clamp(64, 4_096);
        Ok(Self {
            map,
            copies,
            keys: vec![0; entries * size_of::<K>()],
            values: vec![0; entries * size_of_values::<V>(copies)],
            batches: true,
            kind: PhantomData,
        })
    }

    /// Gives every entry to the closure; returns how many there were.
    pub fn each(&mut self, visit: impl FnMut(K, Values<'_, V>)) -> Result<usize, MapError> {
        self.walk(false, visit)
    }

    /// The same, and removes each entry in the same step (kernel 5.6): only for maps whose entries no program holds
    /// a pointer to while it is drained, since what is added after the copy is lost.
    pub fn take_each(&mut self, visit: impl FnMut(K, Values<'_, V>)) -> Result<usize, MapError> {
        self.walk(true, visit)
    }

    /// The value of one key.
    pub fn get(&self, key: &K) -> Option<V> {
        let mut bytes = vec![0; size_of_values::<V>(self.copies)];
        lookup(self.fd(), key, &mut bytes).ok().map(|()| read(&bytes))
    }

    /// Reads and removes one key in one step where the kernel can (hashes: 5.14), else in two.
    pub fn take<R>(&self, key: &K, visit: impl FnOnce(Values<'_, V>) -> R) -> Option<R> {
        let mut bytes = vec![0; size_of_values::<V>(self.copies)];
        if sys::lookup_and_delete(self.fd(), key, &mut bytes).is_err() {
            lookup(self.fd(), key, &mut bytes).ok()?;
            self.remove(key);
        }
        Some(visit(Values { bytes: &bytes, kind: PhantomData }))
    }

    /// Removes one key; false where it was not there.
    pub fn remove(&self, key: &K) -> bool {
        sys::delete(self.fd(), key).is_ok()
    }

    /// Puts one key and value; only for plain hashes.
    pub fn insert(&self, key: &K, value: &V) -> Result<(), MapError> {
        if self.copies != 1 {
            return Err(MapError::Shape { name: "insert".into(), detail: "a per-CPU map".into() });
        }
        update(self.fd(), key, bytes_of(value))
            .map_err(|source| MapError::Operation { operation: "update", source })
    }

    fn fd(&self) -> RawFd {
        self.map.fd().as_fd().as_raw_fd()
    }

    fn walk(&mut self, delete: bool, mut visit: impl FnMut(K, Values<'_, V>)) -> Result<usize, MapError> {
        if self.batches {
            match self.walk_batches(delete, &mut visit) {
                Err(MapError::Operation { source, .. }) if unsupported(&source) => self.batches = false,
                other => return other,
            }
        }
        self.walk_keys(delete, &mut visit)
    }

    fn walk_batches(
        &mut self,
        delete: bool,
        visit: &mut impl FnMut(K, Values<'_, V>),
    ) -> Result<usize, MapError> {
        let (key_size, value_size) = (size_of::<K>(), size_of_values::<V>(self.copies));
        let mut position = None;
        let mut seen = 0;
        loop {
            let room = self.keys.len() / key_size;
            let step = sys::batch(self.fd(), delete, position, &mut self.keys, &mut self.values, room);
            let step = match step {
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && room < MOST_ENTRIES => {
                    self.keys.resize(self.keys.len() * 2, 0);
                    self.values.resize(self.values.len() * 2, 0);
                    continue;
                }
                Err(source) => return Err(MapError::Operation { operation: "lookup batch", source }),
                Ok(step) => step,
            };
            let pairs = self.keys.chunks_exact(key_size).zip(self.values.chunks_exact(value_size));
            for (key, value) in pairs.take(step.count) {
                visit(read(key), Values { bytes: value, kind: PhantomData });
            }
            seen += step.count;
            if step.last {
                return Ok(seen);
            }
            position = Some(step.next);
        }
    }

    /// Without batches: two syscalls per entry. Bounded by what the map can hold, since deletions restart a walk.
    fn walk_keys(
        &mut self,
        delete: bool,
        visit: &mut impl FnMut(K, Values<'_, V>),
    ) -> Result<usize, MapError> {
        let mut keys: Vec<K> = Vec::new();
        while let Some(key) = sys::next_key(self.fd(), keys.last())
            .map_err(|source| MapError::Operation { operation: "next key", source })?
        {
            keys.push(key);
            if keys.len() >= MOST_ENTRIES {
                break;
            }
        }
        let mut bytes = vec![0; size_of_values::<V>(self.copies)];
        let mut seen = 0;
        for key in keys {
            if lookup(self.fd(), &key, &mut bytes).is_err() {
                continue;
            }
            if delete {
                self.remove(&key);
            }
            visit(key, Values { bytes: &bytes, kind: PhantomData });
            seen += 1;
        }
        Ok(seen)
    }
}

/// EINVAL: the command is not known; ENOTSUPP (524): not for this type of map.
fn unsupported(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP | 524))
}

fn stride<V>() -> usize {
    size_of::<V>().next_multiple_of(8)
}

/// A value from the front of kernel bytes, whatever their alignment; zeros where they are too short.
pub(super) fn read<V: Plain>(bytes: &[u8]) -> V {
    let mut value = std::mem::MaybeUninit::<V>::zeroed();
    let length = bytes.len().min(size_of::<V>());
    // SAFETY: source and target are valid for `length` bytes and do not overlap; any bytes are a `Plain` value.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), value.as_mut_ptr().cast::<u8>(), length);
        value.assume_init()
    }
}

/// The bytes of a plain value.
pub(super) fn bytes_of<V: Plain>(value: &V) -> &[u8] {
    // SAFETY: a `Plain` value has no padding, so all its bytes are initialised; the borrow keeps it alive.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<V>()) }
}

/// A record of a ring as a plain struct; `None` where it is too short.
pub fn record<V: Plain>(bytes: &[u8]) -> Option<V> {
    (bytes.len() >= size_of::<V>()).then(|| read(bytes))
}
