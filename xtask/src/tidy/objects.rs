//! The committed eBPF objects call no helper that changes what it observes.

use std::fs;

use anyhow::{Context as _, Result};

use super::Finding;
use crate::tree;

/// Helpers by number (`include/uapi/linux/bpf.h`), and why none of Wake's programs may call them.
const BANNED: [(i32, &str, &str); 3] = [
    (36, "bpf_probe_write_user", "it writes into the memory of workloads"),
    (58, "bpf_override_return", "it makes kernel functions fail"),
    (143, "bpf_store_hdr_opt", "it changes packets"),
];

pub(super) fn check() -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut files = Vec::new();
    tree::walk(&tree::root().join("agent/ebpf-objects"), &mut files)?;
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "o")) {
        let bytes = fs::read(file).with_context(|| format!("read {}", file.display()))?;
        let name = tree::relative(file);
        match helpers(&bytes) {
            Some(called) => {
                for (_, helper, reason) in BANNED.iter().filter(|(number, ..)| called.contains(number)) {
                    findings.push(Finding::Fail(format!("{name} calls {helper}: {reason}")));
                }
            }
            None => findings.push(Finding::Fail(format!("{name}: not an ELF object that tidy can read"))),
        }
    }
    Ok(findings)
}

/// The numbers of the helpers that the object's executable sections call.
fn helpers(elf: &[u8]) -> Option<Vec<i32>> {
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let table = usize::try_from(u64_at(elf, 0x28)?).ok()?;
    let size = usize::from(u16_at(elf, 0x3a)?);
    let count = usize::from(u16_at(elf, 0x3c)?);
    let mut called = Vec::new();
    for index in 0..count {
        let header = elf.get(table + index * size..)?;
        const EXECUTABLE: u64 = 4;
        const PROGBITS: u16 = 1;
        if u64_at(header, 8)? & EXECUTABLE == 0 || u16_at(header, 4)? != PROGBITS {
            continue;
        }
        let from = usize::try_from(u64_at(header, 24)?).ok()?;
        let length = usize::try_from(u64_at(header, 32)?).ok()?;
        called.extend(calls(elf.get(from..from.checked_add(length)?)?));
    }
    Some(called)
}

/// `call` with source register 0 calls a helper; a 64-bit load takes two instruction slots.
fn calls(code: &[u8]) -> Vec<i32> {
    const CALL: u8 = 0x85;
    const LOAD_64: u8 = 0x18;
    let mut found = Vec::new();
    let mut slots = code.chunks_exact(8);
    while let Some(slot) = slots.next() {
        if slot[0] == CALL && slot[1] >> 4 == 0 {
            found.push(i32::from_le_bytes([slot[4], slot[5], slot[6], slot[7]]));
        } else if slot[0] == LOAD_64 {
            slots.next();
        }
    }
    found
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{calls, helpers};

    #[test]
    fn helper_calls_are_found_and_data_is_not_taken_for_code() {
        let code = [
            [0x85, 0, 0, 0, 36, 0, 0, 0],
            [0x18, 1, 0, 0, 0, 0, 0, 0],
            [0x85, 0, 0, 0, 58, 0, 0, 0],
            [0x85, 0x10, 0, 0, 143, 0, 0, 0],
        ];
        assert_eq!(calls(&code.concat()), [36]);
        assert_eq!(helpers(b"no object"), None);
    }
}
