//! Array and per-CPU array maps, read and written by index.

use std::marker::PhantomData;
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};

use agent_common::plain::Plain;
use aya::maps::{Map, MapData};

use super::KernelFeatures;
use super::batch::{MapError, bytes_of, lookup, read, size_of_values, update};

/// An array map.
#[derive(Debug)]
pub struct Table<V> {
    map: MapData,
    copies: usize,
    kind: PhantomData<V>,
}

impl<V: Plain> Table<V> {
    /// Takes over a map of this object; refuses one whose values have another size.
    pub fn new(map: Map, features: &KernelFeatures) -> Result<Self, MapError> {
        let shape = |detail: String| MapError::Shape { name: std::any::type_name::<V>().to_owned(), detail };
        let (map, copies) = match map {
            Map::Array(data) => (data, 1),
            Map::PerCpuArray(data) => (data, features.possible_cpus),
            _ => return Err(shape("not an array map".into())),
        };
        let info = map.info().map_err(|error| shape(error.to_string()))?;
        if info.value_size() as usize != size_of::<V>() {
            return Err(shape(format!("value of {} bytes", info.value_size())));
        }
        Ok(Self { map, copies, kind: PhantomData })
    }

    /// Every CPU's value at an index; of a plain array just the one. Empty where it cannot be read.
    pub fn get(&self, index: u32) -> Vec<V> {
        let mut bytes = vec![0; size_of_values::<V>(self.copies)];
        if lookup(self.fd(), &index, &mut bytes).is_err() {
            return Vec::new();
        }
        bytes.chunks_exact(bytes.len() / self.copies).map(read::<V>).collect()
    }

    /// Writes a value; in a per-CPU array to every CPU.
    pub fn set(&self, index: u32, value: &V) -> Result<(), MapError> {
        let mut bytes = Vec::with_capacity(size_of_values::<V>(self.copies));
        for _ in 0..self.copies {
            bytes.extend_from_slice(bytes_of(value));
            bytes.resize(bytes.len().next_multiple_of(if self.copies == 1 { 1 } else { 8 }), 0);
        }
        update(self.fd(), &index, &bytes)
            .map_err(|source| MapError::Operation { operation: "update", source })
    }

    fn fd(&self) -> RawFd {
        self.map.fd().as_fd().as_raw_fd()
    }
}
