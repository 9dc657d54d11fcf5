//! Objects into the kernel: globals and map sizes first, then each program on its own.
//!
//! A program that the kernel refuses is that program's failure; the probe decides whether it can do without
//! (`Object::optional` makes it a `missing`). Dropping an `Object` detaches all its programs; nothing is pinned.

use std::path::Path;
use std::sync::Arc;

use agent_common::fields::Field;
use aya::EbpfLoader;

use super::node::{self, Node};
use super::uprobe::{Plan, Uprobes};
use super::{KernelFeatures, Settings, elf, offsets};
use crate::probe::AttachError;

mod error;
mod log;
mod object;
mod selfcheck;

pub use object::{Object, ProgramReport};
pub(super) use selfcheck::self_check;

/// Bytes of an eBPF object of this build's architecture, aligned as the loader needs them.
#[macro_export]
macro_rules! ebpf_object {
    ($name:literal) => {{
        #[cfg(target_arch = "x86_64")]
        let object: &'static [u8] = ::aya::include_bytes_aligned!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/ebpf-objects/x86_64/",
            $name,
            ".o"
        ));
        // other architectures have no objects yet: the loader answers `arch`
        #[cfg(not(target_arch = "x86_64"))]
        let object: &'static [u8] = &[];
        object
    }};
}

/// What a program finds in a global.
#[derive(Debug)]
enum Global {
    U8(u8),
    U32(u32),
    U64(u64),
}

/// An object on its way into the kernel.
#[derive(Debug)]
pub struct Loader<'a> {
    probe: &'static str,
    bytes: &'static [u8],
    features: &'a KernelFeatures,
    globals: Vec<(&'static str, Global)>,
    max_entries: Vec<(&'static str, u32)>,
    missing: Vec<String>,
    cap: Option<u32>,
    log: bool,
}

impl<'a> Loader<'a> {
    /// Begins with the checks that every probe shares: switched off, and built for this machine.
    pub fn new(
        probe: &'static str,
        bytes: &'static [u8],
        features: &'a KernelFeatures,
        settings: &Settings,
    ) -> Result<Self, AttachError> {
        if settings.disabled.iter().any(|name| name == probe) {
            return Err(AttachError::Disabled("by the config".into()));
        }
        if bytes.is_empty() {
            let detail = format!("no eBPF objects for {}", std::env::consts::ARCH);
            return Err(AttachError::Unsupported { code: "arch", detail });
        }
        Ok(Self {
            probe,
            bytes,
            features,
            globals: Vec::new(),
            max_entries: Vec::new(),
            missing: Vec::new(),
            cap: settings.max_map_entries,
            log: settings.ebpf_log,
        })
    }

    /// Refuses an object whose shared structs are laid out differently: its section `wake_layout` holds their hash.
    pub fn layout(self, expected: u64) -> Result<Self, AttachError> {
        let found =
            elf::section(self.bytes, "wake_layout").and_then(|bytes| bytes.first_chunk::<8>().copied());
        if found.map(u64::from_le_bytes) == Some(expected) {
            return Ok(self);
        }
        let detail =
            format!("object {} was built from other structs; mend with: cargo xtask bpf", self.probe);
        Err(AttachError::Failed { code: "object", detail })
    }

    /// Resolves private kernel fields and puts their offsets into the object's globals.
    pub fn fields(mut self, fields: &[Field]) -> Result<Self, AttachError> {
        for (name, offset) in offsets::globals(self.features, fields, &mut self.missing)? {
            self.globals.push((name, Global::U32(offset)));
        }
        Ok(self)
    }

    /// Sets a `Global<u8>`.
    pub fn global_u8(mut self, name: &'static str, value: u8) -> Self {
        self.globals.push((name, Global::U8(value)));
        self
    }

    /// Sets a `Global<u32>`.
    pub fn global_u32(mut self, name: &'static str, value: u32) -> Self {
        self.globals.push((name, Global::U32(value)));
        self
    }

    /// Sets a `Global<u64>`.
    pub fn global_u64(mut self, name: &'static str, value: u64) -> Self {
        self.globals.push((name, Global::U64(value)));
        self
    }

    /// Gives `agent_ebpf::node` what it needs to tell this node's tasks from those of another on this kernel.
    pub fn node(self) -> Result<Self, AttachError> {
        let Node { level, is_host_owner, unknown } = &self.features.node;
        if let Some(detail) = unknown {
            return Err(AttachError::Unsupported { code: "node_cgroup", detail: detail.clone() });
        }
        let (level, is_host_owner) = (*level, *is_host_owner);
        // tracing programs may ask for ancestors since 5.14
        let has_helper = self.features.version() >= (5, 14);
        let loader = self
            .global_u32("NODE_LEVEL", level)
            .global_u32("HOST_OWNER", u32::from(is_host_owner))
            .global_u32("ANCESTOR_HELPER", u32::from(has_helper))
            .global_u64("MACHINE_CGROUP", node::MACHINE_ROOT)
            .fields(agent_common::node::FIELDS)?;
        let has_ancestors = |(name, value): &(&str, Global)| {
            name.starts_with("OFF_ANCESTOR") && !matches!(value, Global::U32(u32::MAX))
        };
        if level > 0 && !loader.globals.iter().any(has_ancestors) {
            let detail =
                "this kernel's cgroups do not tell their ancestors, so nodes cannot be told apart".into();
            return Err(AttachError::Unsupported { code: "field_missing", detail });
        }
        Ok(loader)
    }

    /// Refuses where there are no cgroups to name owners by.
    pub fn cgroup2(self) -> Result<Self, AttachError> {
        if self.features.root_cgroup_id == 0 {
            let detail =
                "no cgroup2 hierarchy is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified".into();
            return Err(AttachError::Unsupported { code: "no_cgroup2", detail });
        }
        Ok(self)
    }

    /// Gives `agent_ebpf::workload` what it needs: the root cgroup's id and where a task keeps its leader's name.
    pub fn workloads(self) -> Result<Self, AttachError> {
        let root = self.features.root_cgroup_id;
        self.cgroup2()?.global_u64("ROOT_CGROUP", root).node()?.fields(agent_common::workload::FIELDS)
    }

    /// Sets a map's size.
    pub fn max_entries(mut self, map: &'static str, entries: u32) -> Self {
        self.max_entries.push((map, entries));
        self
    }

    /// Names the hash maps that a test may make small.
    pub fn hashes(mut self, maps: &[&'static str]) -> Self {
        if let Some(cap) = self.cap {
            self.max_entries.extend(maps.iter().map(|map| (*map, cap)));
        }
        self
    }

    /// Loads an object whose programs go to places of files.
    pub fn load_uprobes(self, plan: &Plan<'_>) -> Result<Uprobes, AttachError> {
        let features = self.features;
        super::uprobe::load(self, features, plan)
    }

    pub(super) fn probe(&self) -> &'static str {
        self.probe
    }

    pub(super) fn bytes(&self) -> &'static [u8] {
        self.bytes
    }

    /// The globals as the object has them.
    pub(super) fn global_bytes(&self) -> Vec<(&'static str, Vec<u8>)> {
        let bytes = |value: &Global| match value {
            Global::U8(value) => value.to_ne_bytes().to_vec(),
            Global::U32(value) => value.to_ne_bytes().to_vec(),
            Global::U64(value) => value.to_ne_bytes().to_vec(),
        };
        self.globals.iter().map(|(name, value)| (*name, bytes(value))).collect()
    }

    pub(super) fn sizes(&self) -> &[(&'static str, u32)] {
        &self.max_entries
    }

    /// Makes the maps. No program is loaded yet.
    pub fn load(self) -> Result<Object, AttachError> {
        let trace_btf = self.features.btf.as_ref().map(|btf| Arc::new(btf.tracepoints_only()));
        let mut loader = EbpfLoader::new();
        // the objects carry no relocations against kernel types; the self-made offsets are in the globals
        loader.btf(None).verifier_log_level(aya::VerifierLogLevel::DEBUG | aya::VerifierLogLevel::STATS);
        let level: u8 = if self.log { 5 } else { 0 };
        loader.override_global("AYA_LOG_LEVEL", &level, false);
        if !self.log {
            // one page, since nothing will be written to it
            loader.map_max_entries("AYA_LOGS", 4096);
        }
        for (name, value) in &self.globals {
            match value {
                Global::U8(value) => loader.override_global(name, value, true),
                Global::U32(value) => loader.override_global(name, value, true),
                Global::U64(value) => loader.override_global(name, value, true),
            };
        }
        for (map, entries) in &self.max_entries {
            loader.map_max_entries(map, *entries);
        }
        let ebpf =
            loader.load(self.bytes).map_err(|error| error::of_object(self.probe, &error, self.features))?;
        Ok(Object::new(self.probe, ebpf, trace_btf, self.features.capabilities, self.missing, self.log))
    }
}

/// Opens a cgroup directory to attach programs to.
pub(super) fn open_cgroup(path: &Path) -> Result<std::fs::File, AttachError> {
    std::fs::File::open(path).map_err(|error| AttachError::Unsupported {
        code: "no_cgroup2",
        detail: format!("open {}: {error}", path.display()),
    })
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use agent_common::selfcheck::SelfCheck;

    use super::{KernelFeatures, Loader, Settings};
    use crate::probe::AttachError;

    #[test]
    fn an_object_of_other_structs_is_refused() {
        let (features, settings) = (KernelFeatures::default(), Settings::default());
        let loader =
            || Loader::new("selfcheck", crate::ebpf_object!("selfcheck"), &features, &settings).unwrap();
        assert!(loader().layout(SelfCheck::LAYOUT).is_ok());
        let refused = loader().layout(SelfCheck::LAYOUT ^ 1).unwrap_err();
        assert!(matches!(refused, AttachError::Failed { code: "object", .. }), "{refused}");
    }
}
