//! Every probe on this kernel, as lines for the table kernel × probe × program.
//!
//! `kernel-table\t<probe>\t<program>\t<state>\t<verified instructions>\t<reason>`; the probe's own line has no program.

use agent::config::AgentConfig;
use agent::kernel::{KernelFeatures, Settings, TlsMode};
use agent::probe::AttachError;

use crate::cgroup::Cgroup;
use crate::requires::{Need, requires, skip};

#[test]
fn every_probe_runs_or_says_why_not() {
    if !requires("every_probe_runs_or_says_why_not", &[Need::Root]) {
        return;
    }
    let features = crate::features();
    let cgroup = Cgroup::new(features, "table").ok();
    let settings = Settings {
        attach_cgroup: cgroup.as_ref().map(|cgroup| cgroup.directory().into()),
        tls: TlsMode::On,
        ..Settings::default()
    };
    println!("\nkernel-release\t{}", features.release);
    let mut failed = Vec::new();
    for probe in agent::PROBES {
        match (probe.attach)(features, &settings) {
            Ok(running) => {
                line(probe.name, "", "running", None, &running.missing().join("; "));
                for program in running.programs() {
                    let insns = program.verified_insns;
                    line(probe.name, &program.program, &program.state, insns, &program.reason);
                }
            }
            Err(AttachError::Disabled(why)) => line(probe.name, "", "disabled", None, &why),
            Err(AttachError::Unsupported { code, detail }) => {
                line(probe.name, "", "unsupported", None, &format!("{code}: {detail}"));
            }
            Err(AttachError::Failed { code, detail }) => {
                line(probe.name, "", "failed", None, &format!("{code}: {detail}"));
                failed.push(probe.name);
            }
        }
    }
    assert!(failed.is_empty(), "failed: {}", failed.join(", "));
}

fn line(probe: &str, program: &str, state: &str, insns: Option<u32>, reason: &str) {
    let insns = insns.map(|count| count.to_string()).unwrap_or_default();
    let reason = reason.replace(['\n', '\t'], " ");
    println!("kernel-table\t{probe}\t{program}\t{state}\t{insns}\t{reason}");
}

#[test]
fn without_btf_or_cgroup2_the_reason_is_named() {
    let settings = Settings { tls: TlsMode::On, ..Settings::default() };
    let none = agent::kernel::KernelFeatures::default();
    let with_cgroup2 = agent::kernel::KernelFeatures {
        cgroup2: Some("/sys/fs/cgroup".into()),
        root_cgroup_id: 1,
        possible_cpus: 1,
        ..Default::default()
    };
    for probe in agent::PROBES {
        for (features, expected) in [(&none, "no_cgroup2"), (&with_cgroup2, "no_btf")] {
            match (probe.attach)(features, &settings) {
                Err(AttachError::Unsupported { code, .. }) => assert_eq!(code, expected, "{}", probe.name),
                Err(other) => panic!("{}: {other}", probe.name),
                Ok(_) => panic!("{} runs without {expected}", probe.name),
            }
        }
        let off = Settings { disabled: vec![probe.name.to_owned()], ..Settings::default() };
        assert!(
            matches!((probe.attach)(crate::features(), &off), Err(AttachError::Disabled(_))),
            "{}",
            probe.name
        );
    }
}

/// The maps of all that runs by default but for requests, and of those alone, as the kernel accounts them.
#[test]
fn the_default_maps_fit_the_budget() {
    if !requires("the_default_maps_fit_the_budget", &[Need::Root, Need::Btf, Need::Cgroup2]) {
        return;
    }
    let by_default = AgentConfig::default().settings().disabled;
    assert_eq!(by_default, [""; 0]);
    let others: Vec<&str> =
        agent::PROBES.iter().map(|probe| probe.name).filter(|name| *name != "requests").collect();
    for (disabled, most) in [("requests", 40 << 20), (&others.join(","), 24 << 20)] {
        // a process of its own: the other tests hold maps too
        let mut command = crate::child::command(&format!("map_bytes {disabled}"));
        let output = command.stdout(std::process::Stdio::piped()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let bytes = text.lines().find_map(|line| line.split_once("map-bytes\t")?.1.parse::<u64>().ok());
        let bytes = bytes.unwrap_or_else(|| panic!("{text}"));
        println!("map-bytes\t{bytes}\t{} possible CPUs, without {disabled}", crate::features().possible_cpus);
        assert!((1 << 20..most).contains(&bytes), "{bytes} bytes of maps without {disabled}");
    }
}

/// The child's part: attaches all but `disabled` and adds up what `/proc/self/fdinfo` says of its maps.
pub(crate) fn map_bytes(disabled: &str) -> u64 {
    let features = crate::features();
    let cgroup = Cgroup::new(features, "maps").unwrap();
    let settings = Settings {
        attach_cgroup: Some(cgroup.directory().into()),
        disabled: disabled.split(',').map(str::to_owned).collect(),
        ..Settings::default()
    };
    let running: Vec<_> =
        agent::PROBES.iter().filter_map(|probe| (probe.attach)(features, &settings).ok()).collect();
    let mut bytes = 0;
    for entry in std::fs::read_dir("/proc/self/fdinfo").unwrap().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        if text.contains("map_type:") {
            let value = text.lines().find_map(|line| line.strip_prefix("memlock:"));
            bytes += value.and_then(|value| value.trim().parse::<u64>().ok()).unwrap_or(0);
        }
    }
    drop(running);
    bytes
}

/// Where a kernel cannot do what its version promises, the programs that need it are left out and named, and the rest runs.
#[test]
fn a_program_that_the_kernel_refuses_has_one_in_its_place() {
    let name = "a_program_that_the_kernel_refuses_has_one_in_its_place";
    if !requires(name, &[Need::Root, Need::Btf, Need::Cgroup2]) {
        return;
    }
    if crate::features().makes_loops {
        skip(name, "this kernel takes every program");
        return;
    }
    let features = KernelFeatures { makes_loops: true, ..crate::features().clone() };
    let cgroup = Cgroup::new(&features, "refused").unwrap();
    let settings =
        Settings { attach_cgroup: Some(cgroup.directory().into()), tls: TlsMode::On, ..Settings::default() };
    let mut running = Vec::new();
    for probe in agent::PROBES.iter().filter(|probe| ["requests", "tls"].contains(&probe.name)) {
        let probe =
            (probe.attach)(&features, &settings).unwrap_or_else(|error| panic!("{}: {error}", probe.name));
        let state = |program: &str| {
            let programs = probe.programs();
            programs.into_iter().find(|known| known.program.ends_with(program)).map(|known| known.state)
        };
        assert_eq!(state("_frames_looped").as_deref(), Some("verifier"));
        assert_eq!(state("_frames").as_deref(), Some("running"));
        assert!(probe.missing().iter().any(|line| line.contains("45 streams")), "{:?}", probe.missing());
        running.push(probe);
    }
    assert_eq!(running.len(), 2);
}
