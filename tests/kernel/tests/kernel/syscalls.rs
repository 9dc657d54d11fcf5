//! Syscalls: a program that makes a known number of calls is counted exactly.

use agent::kernel::Settings;
use agent::probe::syscalls::PROBE;
use agent::window::sample::{CgroupEvent, Row};
use agent_common::workload::{COMM_LEN, host_key};

use crate::cgroup::Cgroup;
use crate::child;
use crate::probes::Attached;
use crate::requires::{Need, requires};

#[test]
fn known_calls_are_counted_exactly_with_their_errors() {
    if !requires("known_calls_are_counted_exactly_with_their_errors", &[Need::Root, Need::Btf, Need::Cgroup2])
    {
        return;
    }
    let cgroup = Cgroup::new(crate::features(), "syscalls").unwrap();
    let mut probe = Attached::new(&PROBE, &Settings::default());
    for round in 1..=2_u64 {
        let status = cgroup.enter(&mut child::command("syscalls 20000")).status().unwrap();
        assert!(status.success());
        probe.drain();
        let of = |wanted: &str| {
            let (mut count, mut errors, mut errnos) = (0, 0, Vec::new());
            for row in probe.rows(cgroup.id()) {
                if let Row::Syscall(row) = row
                    && row.syscall == wanted
                {
                    assert_eq!(row.abi, "native");
                    count += row.count;
                    errors += row.errors;
                    errnos.extend(row.errnos.iter().map(|(name, count)| (name.clone(), *count)));
                }
            }
            (count, errors, errnos)
        };
        assert_eq!(of("getpgid"), (20_000 * round, 0, vec![]));
        let (count, errors, errnos) = of("getsid");
        assert_eq!((count, errors), (10_000 * round, 10_000 * round));
        assert_eq!(errnos, vec![("ESRCH".to_owned(), 10_000); round as usize]);
        let (count, errors, errnos) = of("fchdir");
        assert_eq!((count, errors), (5_000 * round, 5_000 * round));
        assert_eq!(errnos, vec![("EBADF".to_owned(), 5_000); round as usize]);
    }
    assert!(probe.sink.losses.iter().all(|loss| loss.reason != "map_full"), "{:?}", probe.sink.losses);
}

#[test]
fn latency_is_sampled_by_default_and_whole_as_a_setting() {
    if !requires(
        "latency_is_sampled_by_default_and_whole_as_a_setting",
        &[Need::Root, Need::Btf, Need::Cgroup2],
    ) {
        return;
    }
    for (full, every) in [(false, 16), (true, 1)] {
        let cgroup = Cgroup::new(crate::features(), "latency").unwrap();
        let mut probe =
            Attached::new(&PROBE, &Settings { syscall_latency_full: full, ..Settings::default() });
        let status = cgroup.enter(&mut child::command("syscalls 16000")).status().unwrap();
        assert!(status.success());
        probe.drain();
        let mut timed = 0_u64;
        for row in probe.rows(cgroup.id()) {
            if let Row::SyscallLatency(row) = row
                && row.class == "process"
            {
                assert_eq!(row.sample_every, every);
                timed += row.latency_hist.iter().map(|count| u64::from(*count)).sum::<u64>();
            }
        }
        // getpgid and getsid are of this class: 24,000 calls
        let expected = 24_000 / u64::from(every);
        assert!((expected * 8 / 10..expected * 13 / 10).contains(&timed), "{timed} of {expected}");
    }
}

#[test]
fn in_the_root_cgroup_calls_belong_to_the_executable() {
    const NAME: &str = "in_the_root_cgroup_calls_belong_to_the_executable";
    if !requires(NAME, &[Need::Root, Need::Btf, Need::Cgroup2]) {
        return;
    }
    let mut probe = Attached::new(&PROBE, &Settings::default());
    let root = crate::features().cgroup2.clone().unwrap();
    let mut command = child::command("syscalls 8000");
    let status = Cgroup::enter_at(&root, &mut command).status().unwrap();
    assert!(status.success());
    probe.drain();
    let executable = std::env::current_exe().unwrap();
    let mut comm = [0; COMM_LEN];
    let name = executable.file_name().unwrap().as_encoded_bytes();
    let length = name.len().min(COMM_LEN - 1);
    comm[..length].copy_from_slice(&name[..length]);
    let key = host_key(&comm);
    let told = CgroupEvent::HostComm { key, comm: String::from_utf8_lossy(&comm[..length]).into_owned() };
    assert!(probe.sink.cgroups.contains(&told), "{told:?} of {:?}", probe.sink.cgroups);
    let calls: u64 = probe
        .rows(key)
        .filter_map(|row| match row {
            Row::Syscall(row) if row.syscall == "fchdir" => Some(row.count),
            _ => None,
        })
        .sum();
    // tests that run beside this one have the same name
    assert!(calls >= 2_000, "{calls}");
}
