//! What the kernel refused, as a probe state that people and programs can read.

use std::io;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;

use super::super::KernelFeatures;
use super::super::features::{CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, CAP_SYS_ADMIN};
use crate::probe::AttachError;

/// Most of the verifier's log that is kept.
const LOG_TAIL: usize = 4096;

/// Which capabilities a step needs beside BPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    Maps,
    Tracing,
    Cgroup,
}

/// An error of making the maps.
pub(super) fn of_object(probe: &str, error: &EbpfError, features: &KernelFeatures) -> AttachError {
    let errno = errno(error);
    if is_denied(errno) {
        return denied(Needs::Maps, features.capabilities, &chain(error));
    }
    match error {
        EbpfError::MapError(MapError::CreateError { name, io_error })
            if io_error.raw_os_error() == Some(libc::EINVAL) =>
        {
            AttachError::Unsupported { code: "map_type", detail: format!("map {name}: {io_error}") }
        }
        _ => AttachError::Failed { code: "object", detail: format!("object {probe}: {}", chain(error)) },
    }
}

/// An error of loading or attaching one program.
pub(super) fn of_program(
    program: &str,
    hook: &str,
    needs: Needs,
    capabilities: u64,
    error: &ProgramError,
) -> AttachError {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            // without PERFMON the verifier refuses what may leak a pointer, and then there is a log; some kernels
            // (6.12) answer as if the helper did not exist
            let is_lacking = !missing(needs, capabilities).is_empty();
            let is_helper = log.contains("cannot use helper") || log.contains("unknown func");
            let is_refused = is_denied(io_error.raw_os_error());
            if (is_refused && log.trim().is_empty()) || (is_lacking && (is_refused || is_helper)) {
                return denied(needs, capabilities, &format!("load {program}: {io_error}"));
            }
            AttachError::Failed { code: "verifier", detail: format!("{program}: {io_error}: {}", tail(&log)) }
        }
        ProgramError::Btf(_) => AttachError::Unsupported {
            code: "hook_missing",
            detail: format!("this kernel has no tracepoint {hook} that BTF describes"),
        },
        other => match errno(other) {
            number if is_denied(number) => {
                denied(needs, capabilities, &format!("attach {program}: {}", chain(other)))
            }
            Some(libc::ENOENT) => AttachError::Unsupported {
                code: "hook_missing",
                detail: format!("this kernel has no tracepoint {hook}"),
            },
            Some(libc::EBUSY) => AttachError::Failed {
                code: "conflict",
                detail: format!("attach {program} to {hook}: {}", chain(other)),
            },
            _ => AttachError::Failed {
                code: "object",
                detail: format!("{program} at {hook}: {}", chain(other)),
            },
        },
    }
}

fn is_denied(errno: Option<i32>) -> bool {
    matches!(errno, Some(libc::EPERM | libc::EACCES))
}

/// The capabilities that a step needs and the process does not have.
fn missing(needs: Needs, capabilities: u64) -> Vec<&'static str> {
    let has = |number: u32| capabilities >> number & 1 == 1;
    let wanted: &[(u32, &str)] = match needs {
        Needs::Maps => &[(CAP_BPF, "CAP_BPF")],
        Needs::Tracing => &[(CAP_BPF, "CAP_BPF"), (CAP_PERFMON, "CAP_PERFMON")],
        Needs::Cgroup => {
            &[(CAP_BPF, "CAP_BPF"), (CAP_PERFMON, "CAP_PERFMON"), (CAP_NET_ADMIN, "CAP_NET_ADMIN")]
        }
    };
    wanted
        .iter()
        .filter(|(number, _)| !(has(*number) || (has(CAP_SYS_ADMIN) && *number != CAP_NET_ADMIN)))
        .map(|(_, name)| *name)
        .collect()
}

fn denied(needs: Needs, capabilities: u64, what: &str) -> AttachError {
    let missing = missing(needs, capabilities);
    let reason = if missing.is_empty() {
        "the capabilities are held, so a security module, lockdown or the memlock limit (ulimit -l, kernels before \
         5.11) refuses"
            .to_owned()
    } else {
        format!("missing {}: run as root, or give the process these capabilities", missing.join(" and "))
    };
    AttachError::Failed { code: "permission", detail: format!("{what}: {reason}") }
}

/// The errno at the bottom of an error's chain.
fn errno(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(number) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(number);
        }
        if let Some(call) = error.downcast_ref::<aya::sys::SyscallError>() {
            return call.io_error.raw_os_error();
        }
        next = error.source();
    }
    None
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

fn tail(log: &str) -> &str {
    let log = log.trim_end();
    let mut from = log.len().saturating_sub(LOG_TAIL);
    while !log.is_char_boundary(from) {
        from += 1;
    }
    log.get(from..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Needs, denied, tail};
    use crate::probe::AttachError;

    #[test]
    fn a_refusal_names_the_capability_that_is_missing() {
        let check = |needs, capabilities: u64, expect: &str| {
            let AttachError::Failed { code, detail } = denied(needs, capabilities, "load x") else {
                panic!("state")
            };
            assert_eq!(code, "permission");
            assert!(detail.contains(expect), "{detail}");
        };
        check(Needs::Tracing, 0, "missing CAP_BPF and CAP_PERFMON");
        check(Needs::Tracing, 1 << 39, "missing CAP_PERFMON");
        check(Needs::Cgroup, 1 << 21, "missing CAP_NET_ADMIN");
        check(Needs::Tracing, 1 << 21, "security module");
    }

    #[test]
    fn the_end_of_a_long_log_is_kept() {
        let log = format!("{}é end", "é".repeat(5_000));
        assert!(tail(&log).len() <= 4096);
        assert!(tail(&log).ends_with("end"));
        assert_eq!(tail("short\n"), "short");
    }
}
