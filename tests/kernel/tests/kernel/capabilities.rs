//! An agent that is not privileged: which capabilities it needs, and what it says where one is missing.
//!
//! Capabilities belong to a thread, so each case runs in one of its own that gives up the rest.

use agent::kernel::features::{CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, CAP_SYS_PTRACE};
use agent::kernel::{KernelFeatures, Settings, TlsMode};
use agent::probe::AttachError;

use crate::cgroup::Cgroup;
use crate::requires::{Need, requires, skip};

const CAP_DAC_READ_SEARCH: u32 = 2;

/// What `deploy/` gives the agent.
const GIVEN: [u32; 5] = [CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH];

/// This thread keeps only these capabilities.
fn keep(capabilities: &[u32]) -> Result<(), String> {
    let bits = capabilities.iter().fold(0_u64, |bits, number| bits | 1 << number);
    let (low, high) = ((bits & 0xffff_ffff) as u32, (bits >> 32) as u32);
    let header: [u32; 2] = [0x2008_0522, 0];
    let sets: [[u32; 3]; 2] = [[low, low, 0], [high, high, 0]];
    // SAFETY: version 3 of the call reads a header of two words and two sets of three.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().to_string()) }
}

/// What is missing of a probe that runs, or why it does not.
type State = Result<Vec<String>, AttachError>;

/// What becomes of each probe in a process that has only these: the reason where it does not run, and what is missing.
fn states(kept: Vec<u32>, test: &str) -> Option<Vec<(&'static str, State)>> {
    if !requires(test, &[Need::Root, Need::Btf, Need::Cgroup2]) {
        return None;
    }
    let cgroup = Cgroup::new(crate::features(), "capabilities").unwrap();
    let settings =
        Settings { attach_cgroup: Some(cgroup.directory().into()), tls: TlsMode::On, ..Settings::default() };
    let states = std::thread::spawn(move || {
        keep(&kept)?;
        let features = KernelFeatures::probe();
        assert_eq!(features.capabilities.count_ones() as usize, kept.len());
        let state = |probe: &agent::probe::Probe| {
            (probe.name, (probe.attach)(&features, &settings).map(|running| running.missing()))
        };
        // older kernels let nobody attach to libraries without SYS_ADMIN
        let can_attach = |probe: &&agent::probe::Probe| probe.name != "tls" || features.version() >= (6, 6);
        Ok::<_, String>(agent::PROBES.iter().filter(can_attach).map(state).collect())
    });
    match states.join().unwrap() {
        Ok(states) => Some(states),
        Err(reason) => {
            skip(test, &format!("capabilities cannot be given up: {reason}"));
            None
        }
    }
}

fn without(capability: u32) -> Vec<u32> {
    GIVEN.into_iter().filter(|given| *given != capability).collect()
}

#[test]
fn five_capabilities_are_enough_for_every_probe() {
    const NAME: &str = "five_capabilities_are_enough_for_every_probe";
    let Some(states) = states(GIVEN.to_vec(), NAME) else { return };
    for (probe, state) in states {
        match state {
            Ok(missing) => assert!(!missing.iter().any(|what| what.contains("CAP_")), "{probe}: {missing:?}"),
            Err(error) => panic!("{probe}: {error}"),
        }
    }
}

#[test]
fn a_capability_that_is_missing_is_named() {
    const NAME: &str = "a_capability_that_is_missing_is_named";
    for (capability, name) in [(CAP_BPF, "CAP_BPF"), (CAP_PERFMON, "CAP_PERFMON")] {
        let Some(states) = states(without(capability), NAME) else { return };
        // tls works with what requests lends, which does not run
        for (probe, state) in states.into_iter().filter(|(probe, _)| *probe != "tls") {
            match state {
                Err(AttachError::Failed { code: "permission", detail }) => {
                    assert!(detail.contains(&format!("missing {name}:")), "{probe}: {detail}");
                }
                other => panic!("{probe} without {name}: {other:?}"),
            }
        }
    }
}

#[test]
fn without_net_admin_flows_alone_do_not_run() {
    const NAME: &str = "without_net_admin_flows_alone_do_not_run";
    let Some(states) = states(without(CAP_NET_ADMIN), NAME) else { return };
    for (probe, state) in states {
        match state {
            Ok(_) => assert_ne!(probe, "flows"),
            Err(AttachError::Failed { code: "permission", detail }) if probe == "flows" => {
                assert!(detail.contains("missing CAP_NET_ADMIN:"), "{detail}");
            }
            Err(error) => panic!("{probe}: {error}"),
        }
    }
}

#[test]
fn without_ptrace_flows_say_what_they_lack() {
    const NAME: &str = "without_ptrace_flows_say_what_they_lack";
    let Some(states) = states(without(CAP_SYS_PTRACE), NAME) else { return };
    for (probe, state) in states {
        let missing = state.unwrap_or_else(|error| panic!("{probe}: {error}"));
        assert_eq!(
            missing.iter().any(|what| what.contains("CAP_SYS_PTRACE")),
            probe == "flows",
            "{missing:?}"
        );
    }
}
