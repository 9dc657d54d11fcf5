//! Programs that only return, at the hooks of the dear probes: the floor.

use anyhow::{Context as _, Result};
use aya::programs::links::CgroupAttachMode;
use aya::programs::{BtfTracePoint, CgroupSkb, CgroupSkbAttachType, RawTracePoint};
use aya::{Btf, Ebpf};

/// Attached while it lives.
#[derive(Debug)]
pub(crate) struct Empty {
    _object: Ebpf,
}

impl Empty {
    pub(crate) fn attach() -> Result<Self> {
        let object = aya::include_bytes_aligned!("../../../agent/ebpf-objects/x86_64/empty.o");
        let mut object = Ebpf::load(object).context("load the empty programs")?;
        let btf = Btf::from_sys_fs().context("read the kernel's BTF")?;
        for hook in ["sys_enter", "sys_exit"] {
            let program: &mut RawTracePoint = program(&mut object, &format!("empty_{hook}"))?.try_into()?;
            program.load()?;
            program.attach(hook)?;
        }
        let switch: &mut BtfTracePoint = program(&mut object, "empty_switch")?.try_into()?;
        switch.load("sched_switch", &btf)?;
        switch.attach()?;
        let cgroup2 = agent::kernel::KernelFeatures::probe().cgroup2.context("no cgroup2 is mounted")?;
        let cgroup2 = std::fs::File::open(cgroup2)?;
        for (name, kind) in
            [("empty_ingress", CgroupSkbAttachType::Ingress), ("empty_egress", CgroupSkbAttachType::Egress)]
        {
            let program: &mut CgroupSkb = program(&mut object, name)?.try_into()?;
            program.load()?;
            // a link attaches beside others by itself and refuses the flag that says so
            program.attach(&cgroup2, kind, CgroupAttachMode::Single)?;
        }
        Ok(Self { _object: object })
    }
}

fn program<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut aya::programs::Program> {
    object.program_mut(name).with_context(|| format!("{name} is not in the object"))
}
