//! A loaded object: its maps, and its programs attached one by one.

mod maps;
mod tails;

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::sync::Arc;

use aya::programs::tp_btf::BtfTracePointLinkId;
use aya::programs::{
    BtfTracePoint, CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, Program, RawTracePoint,
};
use aya::{Btf, Ebpf, Endianness};

use super::error::{Needs, of_program};
use super::log::ProgramLog;
use super::open_cgroup;
use crate::kernel::info::skipped_runs;
use crate::probe::{AttachError, Sink};
use crate::window::sample::Loss;

/// What became of one program; a line of the table kernel × probe × program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramReport {
    /// Its name in the object.
    pub program: String,
    /// Where it is attached, e.g. `tp_btf/sched_switch`.
    pub hook: String,
    /// `running`, or the code of the error.
    pub state: String,
    /// Instructions that the verifier went through (kernel 5.16).
    pub verified_insns: Option<u32>,
    /// The error, empty while running.
    pub reason: String,
}

/// An object in the kernel. Dropping it detaches everything.
#[derive(Debug)]
pub struct Object {
    probe: &'static str,
    ebpf: Ebpf,
    trace_btf: Option<Arc<Vec<u8>>>,
    parsed_btf: Option<Btf>,
    capabilities: u64,
    missing: Vec<String>,
    programs: Vec<ProgramReport>,
    log: Option<ProgramLog>,
    /// Runs that the kernel skipped, as last reported.
    skipped: u64,
    /// Links of BTF tracepoints, by program.
    links: BTreeMap<String, BtfTracePointLinkId>,
}

impl Object {
    pub(super) fn new(
        probe: &'static str,
        mut ebpf: Ebpf,
        trace_btf: Option<Arc<Vec<u8>>>,
        capabilities: u64,
        missing: Vec<String>,
        log: bool,
    ) -> Self {
        let log = if log { ProgramLog::new(probe, &mut ebpf) } else { None };
        Self {
            probe,
            ebpf,
            trace_btf,
            parsed_btf: None,
            capabilities,
            missing,
            programs: Vec::new(),
            log,
            skipped: 0,
            links: BTreeMap::new(),
        }
    }

    /// Loads and attaches a raw tracepoint program.
    pub fn raw_tracepoint(&mut self, program: &str, tracepoint: &str) -> Result<(), AttachError> {
        let result = self.program::<RawTracePoint>(program).and_then(|raw| {
            let step = raw.load().and_then(|()| raw.attach(tracepoint).map(|_link| ()));
            step.map_err(|error| (Needs::Tracing, error))
        });
        self.report(program, "raw_tp", tracepoint, result)
    }

    /// Loads and attaches a BTF tracepoint program.
    pub fn btf_tracepoint(&mut self, program: &str, tracepoint: &str) -> Result<(), AttachError> {
        let btf = self.take_btf()?;
        let result = self.program::<BtfTracePoint>(program).and_then(|traced| {
            let step = traced.load(tracepoint, &btf).and_then(|()| traced.attach());
            step.map_err(|error| (Needs::Tracing, error))
        });
        self.give_btf(btf);
        let result = result.map(|link| {
            self.links.insert(program.to_owned(), link);
        });
        self.report(program, "tp_btf", tracepoint, result)
    }

    /// The kernel's types, parsed once; given back by `give_btf`.
    fn take_btf(&mut self) -> Result<Btf, AttachError> {
        if let Some(bytes) = self.trace_btf.take() {
            self.parsed_btf = Btf::parse(&bytes, Endianness::default()).ok();
        }
        self.parsed_btf.take().ok_or_else(|| AttachError::Unsupported {
            code: "no_btf",
            detail: "BTF tracepoints need /sys/kernel/btf/vmlinux".to_owned(),
        })
    }

    fn give_btf(&mut self, btf: Btf) {
        self.parsed_btf = Some(btf);
    }

    /// Detaches a BTF tracepoint program that was attached, or attaches it again; one that never was stays as it is.
    pub fn switch(&mut self, program: &str, on: bool) -> Result<(), AttachError> {
        let is_loaded =
            self.programs.iter().any(|report| report.program == program && report.state == "running");
        let link = self.links.remove(program);
        if !is_loaded || link.is_some() == on {
            self.links.extend(link.map(|link| (program.to_owned(), link)));
            return Ok(());
        }
        let capabilities = self.capabilities;
        let switched = self.program::<BtfTracePoint>(program).and_then(|traced| {
            let step = match link {
                Some(link) => traced.detach(link).map(|()| None),
                None => traced.attach().map(Some),
            };
            step.map_err(|error| (Needs::Tracing, error))
        });
        let link =
            switched.map_err(|(needs, error)| of_program(program, "again", needs, capabilities, &error))?;
        self.links.extend(link.map(|link| (program.to_owned(), link)));
        Ok(())
    }

    /// Loads and attaches a cgroup_skb program beside whatever else is attached there.
    pub fn cgroup_skb(
        &mut self,
        program: &str,
        cgroup: &Path,
        kind: CgroupSkbAttachType,
    ) -> Result<(), AttachError> {
        let directory = open_cgroup(cgroup)?;
        let result = self.program::<CgroupSkb>(program).and_then(|skb| {
            // a link (kernel 5.7) always attaches beside others and refuses the flag that says so; aya makes links
            // there, so its `Single` is the kernel's BPF_F_ALLOW_MULTI
            let step = skb
                .load()
                .and_then(|()| skb.attach(&directory, kind, CgroupAttachMode::Single).map(|_link| ()));
            step.map_err(|error| (Needs::Cgroup, error))
        });
        self.report(program, "cgroup_skb", &format!("{kind:?}").to_lowercase(), result)
    }

    /// Makes a program's failure something that is missing, not the probe's end.
    pub fn optional(&mut self, what: &str, attached: Result<(), AttachError>) {
        if let Err(error) = attached {
            let mut text = error.to_string();
            if let Some((first, _log)) = text.split_once('\n') {
                text = first.to_owned();
            }
            self.missing.push(format!("{what}: {text}"));
        }
    }

    /// Notes something that does not work here.
    pub fn note_missing(&mut self, what: String) {
        self.missing.push(what);
    }

    /// What works only in part.
    pub fn missing(&self) -> Vec<String> {
        self.missing.clone()
    }

    /// Each program that was tried.
    pub fn programs(&self) -> Vec<ProgramReport> {
        self.programs.clone()
    }

    /// Frees what only attaching needed.
    pub fn settle(&mut self) {
        self.parsed_btf = None;
        self.trace_btf = None;
    }

    /// Writes the programs' own debug lines to the log, where that is switched on.
    pub fn flush_log(&mut self) {
        if let Some(log) = &mut self.log {
            log.flush();
        }
    }

    /// Reports runs that the kernel skipped because the program was under way on that CPU: possible where programs
    /// can be preempted (seen on 7.2). The kernel counts them from 5.12 on. Returns how many.
    pub fn drain_skipped(&mut self, signal: &'static str, sink: &mut Sink) -> u64 {
        let total: u64 = self
            .ebpf
            .programs()
            .filter_map(|(_, program)| program.fd().ok())
            .map(|fd| skipped_runs(fd.as_fd().as_raw_fd()))
            .sum();
        let count = total.saturating_sub(self.skipped);
        self.skipped = total;
        if count > 0 {
            sink.losses.push(Loss { signal, stage: "kernel", reason: "program_busy", count });
        }
        count
    }

    /// The program of this name, as loaded by aya.
    pub(super) fn program<'p, P>(
        &'p mut self,
        name: &str,
    ) -> Result<&'p mut P, (Needs, aya::programs::ProgramError)>
    where
        &'p mut P: TryFrom<&'p mut Program, Error = aya::programs::ProgramError>,
    {
        let program = self
            .ebpf
            .program_mut(name)
            .ok_or((Needs::Tracing, aya::programs::ProgramError::UnexpectedProgramType))?;
        <&mut P>::try_from(program).map_err(|error| (Needs::Tracing, error))
    }

    fn report(
        &mut self,
        program: &str,
        kind: &str,
        hook: &str,
        result: Result<(), (Needs, aya::programs::ProgramError)>,
    ) -> Result<(), AttachError> {
        let result =
            result.map_err(|(needs, error)| of_program(program, hook, needs, self.capabilities, &error));
        let verified_insns = self
            .ebpf
            .program(program)
            .and_then(|loaded| loaded.info().ok())
            .and_then(|info| info.verified_instruction_count());
        let (state, reason) = result.as_ref().map_or_else(AttachError::parts, |()| ("running", ""));
        self.programs.push(ProgramReport {
            program: program.to_owned(),
            hook: format!("{kind}/{hook}"),
            state: state.to_owned(),
            verified_insns,
            reason: reason.to_owned(),
        });
        result
    }
}
