//! An object with programs for places of files into the kernel.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};

use aya::maps::{Map, MapData};
use aya_obj::generated::bpf_map_type;
use aya_obj::{EbpfSectionKind, Object};

use super::{Uprobes, Way, sys};
use crate::kernel::KernelFeatures;
use crate::kernel::batch::update_bytes;
use crate::kernel::features::{CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN};
use crate::kernel::lent::Lent;
use crate::kernel::load::Loader;
use crate::probe::AttachError;

/// Bytes of the verifier's log when a program was refused, and how many of them are kept.
const LOG_BYTES: usize = 1024 * 1024;
const LOG_TAIL: usize = 4096;

fn failed(code: &'static str, detail: String) -> AttachError {
    AttachError::Failed { code, detail }
}

/// Which programs of an object are loaded, and what they need.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Maps of another probe.
    pub shared: &'a [&'static str],
    /// Places in `TAILS`: in each stands the first of these programs that the kernel takes.
    pub tails: &'a [(&'a [&'a str], u32)],
    /// Programs that this kernel cannot have.
    pub without: &'a [&'a str],
    /// Programs whose names begin so may be refused; then this is missing, and the rest works.
    pub optional: &'a [(&'a str, &'a str)],
}

impl Plan<'_> {
    /// What is missing without this program; `None`: everything.
    fn missing_without(&self, program: &str) -> Option<&str> {
        self.optional.iter().find(|(name, _)| program.starts_with(name)).map(|(_, what)| *what)
    }

    fn is_tail(&self, program: &str) -> bool {
        self.tails.iter().any(|(names, _)| names.contains(&program))
    }
}

/// Makes maps and loads the programs of the object.
pub(in crate::kernel) fn load(
    loader: Loader<'_>,
    features: &KernelFeatures,
    plan: &Plan<'_>,
) -> Result<Uprobes, AttachError> {
    let probe = loader.probe();
    let broken = |what: &str, error: &dyn std::fmt::Display| {
        failed("object", format!("object {probe}: {what}: {error}"))
    };
    let mut object = Object::parse(loader.bytes()).map_err(|error| broken("read", &error))?;
    let globals = loader.global_bytes();
    let patches: HashMap<&str, (&[u8], bool)> =
        globals.iter().map(|(name, bytes)| (*name, (bytes.as_slice(), true))).collect();
    object.patch_map_data(patches).map_err(|error| broken("globals", &error))?;
    for (name, entries) in loader.sizes() {
        if let Some(map) = object.maps.get_mut(*name) {
            map.set_max_entries(*entries);
        }
    }
    let types = types(&mut object, features).unwrap_or_else(|error| {
        tracing::warn!(probe, %error, "the kernel did not take the object's types: programs with loops will be refused");
        None
    });
    let mut maps = Maps::make(&mut object, plan.shared, &features.lent, features)?;
    let text: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    object
        .relocate_maps(maps.places.iter().map(|(name, fd, map)| (name.as_str(), *fd, map)), &text)
        .map_err(|error| broken("maps", &error))?;
    object.relocate_calls(&text).map_err(|error| broken("calls", &error))?;
    object.sanitize_functions(aya::features());
    let way = way(&object, features)?;
    let mut uprobes = Uprobes {
        probe,
        way,
        programs: BTreeMap::new(),
        refused: BTreeMap::new(),
        lost: None,
        _maps: Vec::new(),
        reports: Vec::new(),
    };
    let table = maps.own.get("TAILS").ok_or_else(|| broken("no map", &"TAILS"))?;
    let programs = Programs { plan, object: &object, types: types.as_ref(), features };
    programs.load(&mut uprobes)?;
    for (names, index) in plan.tails {
        let program = programs.first_of(&mut uprobes, names)?;
        update_bytes(table.fd().as_fd(), index, &program.to_ne_bytes())
            .map_err(|error| failed("object", format!("place of {names:?}: {error}")))?;
    }
    uprobes.lost = maps.own.remove("LOST").map(Map::PerCpuArray);
    uprobes._maps.extend(maps.own.into_values());
    Ok(uprobes)
}

/// The object's types, where a program has a callback; kernels that know none may not know such types either.
fn types(object: &mut Object, features: &KernelFeatures) -> io::Result<Option<OwnedFd>> {
    let Some(known) = aya::features().btf().filter(|_| features.makes_loops) else { return Ok(None) };
    let types = object.fixup_and_sanitize_btf(known).map_err(io::Error::other)?;
    types.map(|types| sys::types(&types.to_bytes())).transpose()
}

/// The maps of an object, its own and those of another.
struct Maps {
    own: BTreeMap<String, MapData>,
    _shared: Vec<OwnedFd>,
    places: Vec<(String, RawFd, aya_obj::Map)>,
}

impl Maps {
    fn make(
        object: &mut Object,
        shared: &[&'static str],
        lent: &Lent,
        features: &KernelFeatures,
    ) -> Result<Self, AttachError> {
        let mut made = Self { own: BTreeMap::new(), _shared: Vec::new(), places: Vec::new() };
        for (name, map) in object.maps.drain() {
            if shared.contains(&name.as_str()) {
                let descriptor = lent.borrow(&name).ok_or_else(|| AttachError::Unsupported {
                    code: "no_requests",
                    detail: "works with the probe requests only, which does not run".to_owned(),
                })?;
                made.places.push((name, descriptor.as_raw_fd(), map));
                made._shared.push(descriptor);
                continue;
            }
            let data = make_map(&name, &map, features)?;
            made.places.push((name.clone(), data.fd().as_fd().as_raw_fd(), map));
            made.own.insert(name, data);
        }
        Ok(made)
    }
}

fn make_map(name: &str, map: &aya_obj::Map, features: &KernelFeatures) -> Result<MapData, AttachError> {
    let mut map = map.clone();
    if map.map_type() == bpf_map_type::BPF_MAP_TYPE_RINGBUF as u32 {
        // only the loggers' ring, to which nothing is written
        map.set_max_entries(u32::try_from(features.page_size).unwrap_or(4096));
    }
    let (data, kind) = (map.data().to_vec(), map.section_kind());
    let made = MapData::create(map, name, None)
        .map_err(|error| refused(features, &format!("map {name}"), &chain(&error)))?;
    let refuse = |error: io::Error| refused(features, &format!("map {name}"), &error.to_string());
    if !data.is_empty() {
        update_bytes(made.fd().as_fd(), &0_u32, &data).map_err(refuse)?;
    }
    if kind == EbpfSectionKind::Rodata {
        sys::freeze(made.fd().as_fd()).map_err(refuse)?;
    }
    Ok(made)
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

/// Which way this kernel offers; a link to what is no file tells whether it knows such links at all.
fn way(object: &Object, features: &KernelFeatures) -> Result<Way, AttachError> {
    let license = object.license.clone();
    let returns = [0xb7_u8, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
    let program = sys::Program {
        name: "wake_way",
        instructions: &returns,
        license: &license,
        is_multi: true,
        functions: None,
    };
    let root = CString::new("/").unwrap_or_default();
    let link =
        sys::load(&program, &mut []).and_then(|program| sys::link(program.as_fd(), &root, &[0], false));
    match link {
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => return Ok(Way::Multi),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES)) => {
            return Err(refused(features, "program", &error.to_string()));
        }
        _ => {}
    }
    if !features.capable(CAP_SYS_ADMIN) {
        return Err(AttachError::Unsupported {
            code: "no_uprobe_multi",
            detail:
                "this kernel has no uprobe_multi links (6.6), and perf events for uprobes need CAP_SYS_ADMIN"
                    .into(),
        });
    }
    perf_way().ok_or_else(|| AttachError::Unsupported {
        code: "no_uprobes",
        detail: "this kernel has neither uprobe_multi links nor perf events for uprobes".into(),
    })
}

fn perf_way() -> Option<Way> {
    let read =
        |name: &str| std::fs::read_to_string(format!("/sys/bus/event_source/devices/uprobe/{name}")).ok();
    let kind = read("type")?.trim().parse().ok()?;
    let return_bit = read("format/retprobe")?.trim().strip_prefix("config:")?.parse().ok()?;
    (return_bit < 64).then_some(Way::Perf { kind, return_bit })
}

/// Programs on their way into the kernel.
struct Programs<'a> {
    plan: &'a Plan<'a>,
    object: &'a Object,
    types: Option<&'a OwnedFd>,
    features: &'a KernelFeatures,
}

impl Programs<'_> {
    /// Those that stand behind no other.
    fn load(&self, uprobes: &mut Uprobes) -> Result<(), AttachError> {
        let mut names: Vec<&String> = self.object.programs.keys().collect();
        names.retain(|name| !self.plan.is_tail(name) && !self.plan.without.contains(&name.as_str()));
        names.sort();
        for name in names {
            if let Err(error) = self.one(uprobes, name) {
                let what = self.plan.missing_without(name).ok_or_else(|| error.clone())?;
                uprobes.refuse(name, what, &error);
            }
        }
        Ok(())
    }

    /// The first of these that the kernel takes.
    fn first_of(&self, uprobes: &mut Uprobes, names: &[&str]) -> Result<RawFd, AttachError> {
        for name in names {
            match self.one(uprobes, name) {
                Ok(program) => return Ok(program),
                Err(error) => {
                    let what = self.plan.missing_without(name).ok_or_else(|| error.clone())?;
                    uprobes.refuse(name, what, &error);
                }
            }
        }
        Err(failed("object", format!("object {}: none of {names:?}", uprobes.probe)))
    }

    fn one(&self, uprobes: &mut Uprobes, name: &str) -> Result<RawFd, AttachError> {
        let function = self
            .object
            .programs
            .get(name)
            .and_then(|program| self.object.functions.get(&program.function_key()))
            .ok_or_else(|| failed("object", format!("object {}: no program {name}", uprobes.probe)))?;
        let mut instructions = Vec::with_capacity(function.instructions.len() * 8);
        for instruction in &function.instructions {
            instructions.push(instruction.code);
            instructions.push(instruction.dst_reg() | instruction.src_reg() << 4);
            instructions.extend_from_slice(&instruction.off.to_le_bytes());
            instructions.extend_from_slice(&instruction.imm.to_le_bytes());
        }
        let records = function.func_info.func_info_bytes();
        let program = sys::Program {
            name,
            instructions: &instructions,
            license: &self.object.license,
            is_multi: uprobes.way == Way::Multi,
            functions: self.types.map(|types| sys::Functions {
                types: types.as_fd(),
                records: &records,
                record_size: function.func_info_rec_size,
            }),
        };
        let loaded = sys::load(&program, &mut []).map_err(|error| why(name, &program, &error, self.features));
        uprobes.report(name, loaded.as_ref().map(verified));
        let loaded = loaded?;
        let descriptor = loaded.as_raw_fd();
        uprobes.programs.insert(name.to_owned(), loaded);
        Ok(descriptor)
    }
}

/// Instructions that the verifier went through (kernel 5.16).
fn verified(program: &OwnedFd) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_raw_fd())).ok()?;
    text.lines().find_map(|line| line.strip_prefix("verified_insns:"))?.trim().parse().ok()
}

/// Why a program was refused: once more with the verifier's log.
fn why(name: &str, program: &sys::Program<'_>, error: &io::Error, features: &KernelFeatures) -> AttachError {
    let mut log = vec![0_u8; LOG_BYTES];
    _ = sys::load(program, &mut log);
    let length = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
    let text = log.get(length.saturating_sub(LOG_TAIL)..length).unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    let is_denied = matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES));
    if is_denied && text.trim().is_empty() {
        return refused(features, &format!("load {name}"), &error.to_string());
    }
    failed("verifier", format!("{name}: {error}: {}", text.trim_end()))
}

fn refused(features: &KernelFeatures, what: &str, error: &str) -> AttachError {
    let has = |number| features.capable(number) || features.capable(CAP_SYS_ADMIN);
    if has(CAP_BPF) && has(CAP_PERFMON) {
        return failed("permission", format!("{what}: {error}"));
    }
    failed("permission", format!("{what}: {error}: needs CAP_BPF and CAP_PERFMON"))
}
