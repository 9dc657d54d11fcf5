//! grpc-go: which goroutine serves a stream, and which one opens one, at two functions of a program that has both.
//!
//! The programs read fields, whose places are those of the module's version. A version that is not known, or whose files
//! were not compared with it, has no programs: its calls are joined by thread, as those of other servers of streams.

use std::collections::BTreeMap;

use super::binary::{Unfit, code_of, unfit};
use super::elf::{Elf, Function, Source};
use super::modules::{Module, module};
use crate::kernel::uprobe::Place;

/// The handler of a stream, on the goroutine that serves it.
pub const SERVES: &str = "google.golang.org/grpc.(*Server).handleStream";
/// What opens a stream, on the goroutine that asks.
pub const OPENS: &str = "google.golang.org/grpc/internal/transport.(*http2Client).NewStream";
/// The program where such a handler returns.
pub const SERVED: &str = "tls_go_served";
/// What becomes of calls otherwise.
pub const BY_THREAD: &str = "calls of its streams are joined by thread";

const MODULE: &str = "google.golang.org/grpc";

/// The first minor version whose releases are known, and of each from there on the last patch that is.
const FIRST: u32 = 40;
const PATCHES: [u32; 46] = [
    1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 3, 0, 1, 1, 3, 2, 3, 0, 1, 1, 1, 2, 1, 1, 2, 3, 1, 4, 0, 1, 2, 0, 3,
    1, 0, 0, 0, 3, 0, 1, 1, 2, 0, 0,
];

/// From which release (1.minor.patch) on the program for each way to have the fields is the right one. By the sources of all
/// 87 releases from 1.40.0 to 1.85.0 (`docs/journal/2026-11-22-joins.md`).
const SERVING: [(u32, u32, &str); 4] = [
    (40, 0, "tls_grpc_serves_40"),
    (60, 0, "tls_grpc_serves_60"),
    (69, 0, "tls_grpc_serves_69"),
    (77, 0, "tls_grpc_serves_77"),
];
const OPENING: [(u32, u32, &str); 7] = [
    (40, 0, "tls_grpc_opens_40"),
    (52, 0, "tls_grpc_opens_52"),
    (58, 0, "tls_grpc_opens_58"),
    (66, 0, "tls_grpc_opens_66"),
    (69, 0, "tls_grpc_opens_69"),
    (77, 0, "tls_grpc_opens_77"),
    (83, 1, "tls_grpc_opens_83"),
];

/// Places in a program of which these functions were found; none where it does not serve and ask streams.
///
/// # Errors
/// Where it does, and its fields are not known.
pub fn places<S: Source + ?Sized>(
    elf: &Elf<'_, S>,
    found: &BTreeMap<&str, Function>,
) -> Result<Vec<Place>, Unfit> {
    let (Some(serves), Some(opens)) = (found.get(SERVES), found.get(OPENS)) else { return Ok(Vec::new()) };
    let because = |why: String| unfit("grpc_version", format!("{MODULE} {why}: {BY_THREAD}"));
    let [serve, open] = match module(elf, MODULE).map_err(unread)? {
        Module::Version(version) => {
            programs(&version).ok_or_else(|| because(format!("{version} is not known")))?
        }
        Module::Unsummed(version) => return Err(because(format!("{version} without a sum, as of vendor"))),
        Module::Replaced => return Err(because("was replaced".to_owned())),
        Module::Absent => return Err(because("of no version".to_owned())),
    };
    let serves_code = code_of(elf, serves).map_err(unread)?;
    let opens_code = code_of(elf, opens).map_err(unread)?;
    let place = |program, offsets| Place { program, offsets, is_return: false };
    Ok(vec![
        place(serve, vec![serves.offset + serves_code.begin]),
        place(SERVED, serves_code.returns.iter().map(|at| serves.offset + at).collect()),
        place(open, opens_code.returns.iter().map(|at| opens.offset + at).collect()),
    ])
}

/// What is wrong with a file whose connections are read all the same.
fn unread(why: impl Into<Unfit>) -> Unfit {
    let Unfit { code, detail } = why.into();
    Unfit { code, detail: format!("{detail}: {BY_THREAD}") }
}

/// The programs of a release: of where a stream is served, and of where one is opened.
fn programs(version: &str) -> Option<[&'static str; 2]> {
    let (minor, patch) = release(version)?;
    let last = PATCHES.get(usize::try_from(minor.checked_sub(FIRST)?).ok()?)?;
    let of = |table: &[(u32, u32, &'static str)]| {
        let is_since = |(since, from, _): &&(u32, u32, &str)| (*since, *from) <= (minor, patch);
        table.iter().rev().find(is_since).map(|(.., program)| *program)
    };
    if patch > *last { None } else { Some([of(&SERVING)?, of(&OPENING)?]) }
}

/// Minor version and patch of a release such as `v1.64.0`: what lies between releases has fields of its own.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.strip_prefix("v1.")?.split('.');
    let (minor, patch) = (numbers.next()?, numbers.next()?);
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(minor) || !is_number(patch) || numbers.next().is_some() {
        return None;
    }
    Some((minor.parse().ok()?, patch.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{FIRST, OPENING, PATCHES, SERVING, programs};

    #[test]
    fn a_release_has_the_programs_of_its_fields() {
        for (version, since) in [
            ("v1.40.0", [40, 40]),
            ("v1.51.0", [40, 40]),
            ("v1.52.0", [40, 52]),
            ("v1.57.2", [40, 52]),
            ("v1.58.3", [40, 58]),
            ("v1.60.0", [60, 58]),
            ("v1.65.1", [60, 58]),
            ("v1.68.1", [60, 66]),
            ("v1.72.2", [69, 69]),
            ("v1.76.0", [69, 69]),
            ("v1.77.0", [77, 77]),
            ("v1.83.0", [77, 77]),
            ("v1.83.1", [77, 83]),
            ("v1.85.0", [77, 83]),
        ] {
            let [serves, opens] = since;
            let wanted = [format!("tls_grpc_serves_{serves}"), format!("tls_grpc_opens_{opens}")];
            assert_eq!(programs(version).unwrap(), wanted, "{version}");
        }
    }

    #[test]
    fn what_is_no_known_release_has_none() {
        for version in [
            "v1.39.1",
            "v1.40.2",
            "v1.83.3",
            "v1.85.1",
            "v1.86.0",
            "v1.4294967336.0",
            "v2.64.0",
            "v1.64.0-dev",
            "v1.64.1-0.20240513171213-abcdefabcdef",
            "v1.64",
            "v1.64.",
            "v1..0",
            "v1.64.0.0",
            "v1.+64.0",
            "1.64.0",
            "(devel)",
            "",
        ] {
            assert_eq!(programs(version), None, "{version}");
        }
    }

    #[test]
    fn the_tables_are_in_order_and_every_program_is_in_the_object() {
        for table in [&SERVING[..], &OPENING[..]] {
            assert!(table.is_sorted());
            for (minor, patch, program) in table {
                let last = PATCHES[(minor - FIRST) as usize];
                assert!(*patch <= last, "{program}");
                let object = crate::ebpf_object!("tls");
                assert!(memchr::memmem::find(object, program.as_bytes()).is_some(), "{program}");
            }
        }
    }
}
