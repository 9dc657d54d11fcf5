//! Taking maps out of an object, with their shapes checked.

use std::os::fd::{AsFd as _, OwnedFd};

use agent_common::plain::Plain;
use aya::maps::{Map, MapData, RingBuf};

use super::Object;
use crate::kernel::KernelFeatures;
use crate::kernel::batch::{Dump, MapError};
use crate::kernel::hosts::HostComms;
use crate::kernel::losses::Losses;
use crate::kernel::table::Table;
use crate::probe::AttachError;

impl Object {
    /// Takes a map out of the object.
    pub fn map(&mut self, name: &str) -> Result<Map, AttachError> {
        self.ebpf.take_map(name).ok_or_else(|| AttachError::Failed {
            code: "object",
            detail: format!("object {} has no map {name}", self.probe),
        })
    }

    /// A descriptor of its own for a map that was not taken yet, to be lent to probes that are attached later.
    pub fn lendable(&self, name: &str) -> Result<OwnedFd, AttachError> {
        let failed = |detail: &str| AttachError::Failed {
            code: "object",
            detail: format!("map {name} of object {}: {detail}", self.probe),
        };
        let data = match self.ebpf.map(name) {
            Some(Map::HashMap(data) | Map::Array(data) | Map::RingBuf(data)) => data,
            _ => return Err(failed("there is none to lend")),
        };
        data.fd().as_fd().try_clone_to_owned().map_err(|error| failed(&error.to_string()))
    }

    /// Takes a hash or per-CPU hash.
    pub fn dump<K: Plain, V: Plain>(
        &mut self,
        name: &str,
        features: &KernelFeatures,
    ) -> Result<Dump<K, V>, AttachError> {
        let map = self.map(name)?;
        self.shaped(name, Dump::new(map, features))
    }

    /// Takes an array or per-CPU array.
    pub fn table<V: Plain>(
        &mut self,
        name: &str,
        features: &KernelFeatures,
    ) -> Result<Table<V>, AttachError> {
        let map = self.map(name)?;
        self.shaped(name, Table::new(map, features))
    }

    /// Takes a ring.
    pub fn ring(&mut self, name: &str) -> Result<RingBuf<MapData>, AttachError> {
        let map = self.map(name)?;
        RingBuf::try_from(map).map_err(|error| AttachError::Failed {
            code: "object",
            detail: format!("ring {name} of object {}: {error}", self.probe),
        })
    }

    /// Takes `LOST`; what it counts is booked under `signal`.
    pub fn losses(&mut self, features: &KernelFeatures, signal: &'static str) -> Result<Losses, AttachError> {
        let map = self.map("LOST")?;
        self.shaped("LOST", Losses::new(map, features, signal))
    }

    /// Takes `HOST_COMMS`.
    pub fn hosts(&mut self, features: &KernelFeatures) -> Result<HostComms, AttachError> {
        let map = self.map("HOST_COMMS")?;
        self.shaped("HOST_COMMS", HostComms::new(map, features))
    }

    fn shaped<T>(&self, name: &str, map: Result<T, MapError>) -> Result<T, AttachError> {
        map.map_err(|error| AttachError::Failed {
            code: "object",
            detail: format!("map {name} of object {}: {error}", self.probe),
        })
    }
}
