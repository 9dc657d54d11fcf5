//! Syscall counts to rows: numbers and errnos become names.

mod classes;
mod names;

use std::collections::HashMap;
use std::sync::LazyLock;

use agent_common::syscalls::{CLASS_NEVER, CLASS_NUMBERS, COMPAT, Count, CountKey, Latency, LatencyKey};
use proto::v1;

use crate::window::sample::{Owner, Row, Sample};
use classes::{CLASSES, MEMBERS};

/// Number of `rt_sigreturn` as `sys_exit` gives it: the call has overwritten its registers.
const NO_NUMBER: u32 = COMPAT - 1;

/// Errors of one owner and number: errno → count.
pub type Errnos = HashMap<u32, u64>;

/// A call's name, `syscall_<number>` where it has none here.
pub fn name(number: u32) -> String {
    let (table, plain) = table(number);
    if plain == NO_NUMBER {
        return "rt_sigreturn".into();
    }
    match table.get(plain as usize) {
        Some(name) if !name.is_empty() => (*name).to_owned(),
        _ => format!("syscall_{plain}"),
    }
}

fn table(number: u32) -> (&'static [&'static str], u32) {
    let native: &'static [&'static str] = if cfg!(target_arch = "x86_64") { names::X86_64 } else { &[] };
    if number & COMPAT == 0 { (native, number) } else { (names::I386, number & !COMPAT) }
}

/// A class's name.
pub fn class_name(class: u32) -> &'static str {
    CLASSES.get(class as usize).copied().unwrap_or("other")
}

/// The class of a call by its name: each row of each window asks.
fn class_of(name: &str) -> usize {
    static CLASS: LazyLock<HashMap<&str, usize>> = LazyLock::new(|| {
        let members = |(class, members): (usize, &'static &'static str)| {
            members.split(' ').map(move |name| (name, class))
        };
        MEMBERS.iter().enumerate().flat_map(members).collect()
    });
    CLASS.get(name).copied().unwrap_or(CLASSES.len() - 1)
}

/// For the map `CLASSES`: index and class of every number.
pub fn classes() -> Vec<(u32, u8)> {
    let mut all = Vec::new();
    for (offset, mark) in [(0, 0), (CLASS_NUMBERS, COMPAT)] {
        for number in 0..CLASS_NUMBERS {
            let class = class_of(&name(number | mark));
            let class = if class_name(class as u32) == "exit" { CLASS_NEVER } else { class as u8 };
            all.push((offset + number, class));
        }
    }
    all
}

/// An errno's name, `errno_<number>` where it has none here.
pub fn errno_name(errno: u32) -> String {
    match names::ERRNO.get(errno as usize) {
        Some(name) if !name.is_empty() => (*name).to_owned(),
        _ => format!("errno_{errno}"),
    }
}

/// One owner's calls of one number in a window.
pub fn count(key: &CountKey, gained: &Count, errnos: Option<&Errnos>) -> Sample {
    let name = name(key.number);
    let class = CLASSES.get(class_of(&name)).copied().unwrap_or("other");
    let row = v1::SyscallRow {
        class: class.to_owned(),
        syscall: name,
        abi: if key.number & COMPAT == 0 { "native" } else { "compat" }.to_owned(),
        count: gained.calls,
        errors: gained.errors,
        errnos: errnos.into_iter().flatten().map(|(errno, count)| (errno_name(*errno), *count)).collect(),
        ..Default::default()
    };
    Sample { owner: Owner::Workload(key.workload), row: Row::Syscall(row) }
}

/// One owner's latencies of one class in a window.
pub fn latency(key: &LatencyKey, gained: &Latency, sample_every: u32) -> Sample {
    let row = v1::SyscallLatencyRow {
        class: class_name(key.class).to_owned(),
        sample_every,
        latency_hist: gained.to_vec(),
        ..Default::default()
    };
    Sample { owner: Owner::Workload(key.workload), row: Row::SyscallLatency(row) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use agent_common::syscalls::{CLASS_NEVER, COMPAT, Count, CountKey, LatencyKey};

    use super::{CLASSES, MEMBERS, class_name, class_of, classes, count, errno_name, latency, name};

    #[test]
    fn numbers_and_errnos_have_their_names() {
        assert_eq!(name(0), "read");
        assert_eq!(name(257), "openat");
        assert_eq!(name(3 | COMPAT), "read");
        assert_eq!(name(COMPAT - 1), "rt_sigreturn");
        assert_eq!(name(335), "syscall_335");
        assert_eq!((errno_name(2).as_str(), errno_name(110).as_str()), ("ENOENT", "ETIMEDOUT"));
        assert_eq!(errno_name(4_000), "errno_4000");
    }

    #[test]
    fn each_call_is_in_one_class_and_waiting_is_apart() {
        let mut seen = HashSet::new();
        for name in MEMBERS.iter().flat_map(|members| members.split(' ')) {
            assert!(seen.insert(name), "{name} is in two classes");
        }
        assert_eq!(MEMBERS.len() + 1, CLASSES.len());
        for (name, class) in
            [("read", "read"), ("epoll_wait", "poll"), ("futex", "futex"), ("nanosleep", "sleep")]
        {
            assert_eq!(class_name(class_of(name) as u32), class);
        }
        let classes = classes();
        assert_eq!(
            classes.iter().find(|(number, _)| *number == 231).map(|(_, class)| *class),
            Some(CLASS_NEVER)
        );
    }

    #[test]
    fn any_bytes_make_a_row() {
        let mut seed = 7_u64;
        let mut random = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed >> 16
        };
        for _ in 0..20_000 {
            let (number, errno) = (random() as u32, random() as u32);
            let key = CountKey { workload: random(), number, _pad: 0 };
            let errnos = [(errno, random())].into_iter().collect();
            drop(count(&key, &Count { calls: random(), errors: random() }, Some(&errnos)));
            let key = LatencyKey { workload: random(), class: random() as u32, _pad: 0 };
            drop(latency(&key, &[random() as u32; 106], 16));
        }
    }
}
