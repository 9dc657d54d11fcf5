//! Syscalls: a program that makes a known number of calls is counted exactly.

use agent::kernel::Settings;
use agent::probe::Sink;
use agent::probe::syscalls::PROBE;
use agent::window::sample::{CgroupEvent, Row};
use agent_common::workload::{COMM_LEN, host_key};

use crate::cgroup::Cgroup;
use crate::child;
use crate::node::Node;
use crate::probes::Attached;
use crate::requires::{Need, requires, skip};

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
fn over_the_budget_calls_are_counted_and_not_timed() {
    const NAME: &str = "over_the_budget_calls_are_counted_and_not_timed";
    if !requires(NAME, &[Need::Root, Need::Btf, Need::Cgroup2]) {
        return;
    }
    let cgroup = Cgroup::new(crate::features(), "shed").unwrap();
    let mut probe = Attached::new(&PROBE, &Settings { syscall_latency_full: true, ..Settings::default() });
    for (on, timed) in [(false, 0), (false, 0), (true, 2_000)] {
        probe.detail(on);
        probe.sink = Sink::default();
        let status = cgroup.enter(&mut child::command("syscalls 4000")).status().unwrap();
        assert!(status.success());
        probe.drain();
        let (mut counted, mut found) = (0, 0_u64);
        for row in probe.rows(cgroup.id()) {
            match row {
                Row::Syscall(row) if row.syscall == "getpgid" => counted += row.count,
                Row::SyscallLatency(row) if row.class == "process" => {
                    found += row.latency_hist.iter().map(|count| u64::from(*count)).sum::<u64>();
                }
                _ => {}
            }
        }
        assert_eq!(counted, 4_000);
        assert!(if timed == 0 { found == 0 } else { found >= timed }, "{found} timed, on: {on}");
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

/// A 32-bit program: calls getppid (64 there) 3,000 times by `int 0x80`, then exits.
#[cfg(target_arch = "x86_64")]
fn program_of_32_bits() -> Vec<u8> {
    const BASE: u32 = 0x0040_0000;
    let code: [u8; 24] = [
        0xbe, 0xb8, 0x0b, 0x00, 0x00, // mov esi, 3000
        0xb8, 0x40, 0x00, 0x00, 0x00, // again: mov eax, 64
        0xcd, 0x80, // int 0x80
        0x4e, // dec esi
        0x75, 0xf6, // jnz again
        0xb8, 0x01, 0x00, 0x00, 0x00, // mov eax, 1 (exit)
        0x31, 0xdb, // xor ebx, ebx
        0xcd, 0x80, // int 0x80
    ];
    let (header, length) = (52 + 32, 52 + 32 + code.len() as u32);
    let mut file = b"\x7fELF\x01\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([2_u16, 3].iter().flat_map(|half| half.to_le_bytes()));
    file.extend([1, BASE + header, 52, 0, 0].iter().flat_map(|word: &u32| word.to_le_bytes()));
    file.extend([52_u16, 32, 1, 0, 0, 0].iter().flat_map(|half| half.to_le_bytes()));
    file.extend([1, 0, BASE, BASE, length, length, 5, 4096].iter().flat_map(|word: &u32| word.to_le_bytes()));
    file.extend(code);
    file
}

#[cfg(target_arch = "x86_64")]
#[test]
fn calls_of_a_32_bit_program_are_counted_apart() {
    use std::os::unix::fs::PermissionsExt as _;
    const NAME: &str = "calls_of_a_32_bit_program_are_counted_apart";
    if !requires(NAME, &[Need::Root, Need::Btf, Need::Cgroup2]) {
        return;
    }
    let path = std::env::temp_dir().join(format!("wake-32-bit-{}", std::process::id()));
    std::fs::write(&path, program_of_32_bits()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let cgroup = Cgroup::new(crate::features(), "compat").unwrap();
    let mut probe = Attached::new(&PROBE, &Settings::default());
    let run = cgroup.enter(&mut std::process::Command::new(&path)).status();
    std::fs::remove_file(&path).unwrap();
    match run {
        Err(error) if error.raw_os_error() == Some(libc::ENOEXEC) => {
            return skip(NAME, "this kernel runs no 32-bit programs");
        }
        run => assert!(run.unwrap().success()),
    }
    probe.drain();
    let compat = probe.rows(cgroup.id()).filter_map(|row| match row {
        Row::Syscall(row) if row.abi == "compat" => Some((row.syscall.as_str(), row.count)),
        _ => None,
    });
    // the exec that began it returned in 32-bit mode; its number is that of the 64-bit caller
    let calls: Vec<_> = compat.filter(|(name, _)| *name == "getppid").collect();
    assert_eq!(calls, [("getppid", 3_000)]);
}

#[test]
fn with_full_maps_each_call_is_counted_or_told_as_lost() {
    const NAME: &str = "with_full_maps_each_call_is_counted_or_told_as_lost";
    if !requires(NAME, &[Need::Root, Need::Btf, Need::Cgroup2]) {
        return;
    }
    const CALLS: u64 = 2_000 * ROUNDS;
    const ROUNDS: u64 = 50;
    // a node of its own, so that nobody else's calls are in it
    let node = Node::alone("full");
    let cgroup = &node.pod;
    let mut whole = node.attach(&PROBE);
    let small = Settings { max_map_entries: Some(16), ..Settings::default() };
    let mut full = Attached::of_node(&node.features, &PROBE, &small);
    let status = cgroup.enter(&mut child::command(&format!("numbers {ROUNDS}"))).status().unwrap();
    assert!(status.success());
    full.drain();
    whole.drain();
    let (truth, failed) = called(&whole);
    let (counted, _) = called(&full);
    let refused = lost(&full);
    let made: u64 =
        whole.rows(cgroup.id()).map(|row| if let Row::Syscall(row) = row { row.count } else { 0 }).sum();
    assert!(made >= CALLS && lost(&whole) == 0, "{made} calls were made");
    assert!(refused > CALLS / 2, "sixteen entries are not enough for 2,000 keys: {refused} lost");
    // a failed call that is counted may be without its errno, which is told as lost too
    assert!(
        (truth..=truth + failed).contains(&(counted + refused)),
        "{counted} counted, {refused} lost, of {truth} of which {failed} failed"
    );
}

/// All calls that a probe counted, and how many of them failed.
fn called(probe: &Attached) -> (u64, u64) {
    let rows = probe.sink.samples.iter().filter_map(|sample| match &sample.row {
        Row::Syscall(row) => Some((row.count, row.errors)),
        _ => None,
    });
    rows.fold((0, 0), |(calls, errors), (more, failed)| (calls + more, errors + failed))
}

fn lost(probe: &Attached) -> u64 {
    probe.sink.losses.iter().filter(|loss| loss.reason == "map_full").map(|loss| loss.count).sum()
}
