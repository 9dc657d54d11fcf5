//! Processes that have an io_uring: what they do over it passes by every syscall that is looked at.

use std::fs;

/// Most descriptors that the look at the start takes in.
const MOST_DESCRIPTORS: usize = 100_000;

/// The processes that have one now.
pub(super) fn open() -> Vec<u32> {
    let mut found = Vec::new();
    let mut looked_at = 0;
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(number) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        for descriptor in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            looked_at += 1;
            if fs::read_link(descriptor.path())
                .is_ok_and(|target| target.as_os_str() == "anon_inode:[io_uring]")
            {
                found.push(number);
                break;
            }
        }
        if looked_at > MOST_DESCRIPTORS {
            break;
        }
    }
    found
}

/// What a process and its workload are called: its name, and the path of its cgroup.
pub(super) fn name(process: u32) -> Option<String> {
    let read = |file: &str| fs::read_to_string(format!("/proc/{process}/{file}")).ok();
    let comm = read("comm")?;
    let cgroups = read("cgroup")?;
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    Some(format!("{} in {path}", comm.trim_end()))
}
