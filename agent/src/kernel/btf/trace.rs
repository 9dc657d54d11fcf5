//! A small BTF for aya, which needs one only to look up the id of a `btf_trace_*` typedef.
//!
//! aya parses every type of `vmlinux` into its own form (tens of MiB, for each object again). This one has the same
//! ids, but every type that is no such typedef is an unnamed forward declaration.

use super::Btf;
use super::parse::{KIND_FWD, KIND_TYPEDEF};

impl Btf {
    /// The bytes of a BTF in which each tracepoint's typedef has the id that it has in the kernel.
    pub fn tracepoints_only(&self) -> Vec<u8> {
        let mut strings = vec![0_u8];
        let mut typedefs: Vec<(u32, u32)> = Vec::new();
        for (id, name) in self.trace_typedefs() {
            typedefs.push((id, u32::try_from(strings.len()).unwrap_or(0)));
            strings.extend_from_slice(name);
            strings.push(0);
        }
        typedefs.sort_unstable();
        let last = typedefs.last().map_or(0, |(id, _)| *id);
        let mut types = Vec::with_capacity(last as usize * 12);
        let mut next = typedefs.iter().peekable();
        for id in 1..=last {
            let (name, kind) = match next.next_if(|(typedef, _)| *typedef == id) {
                Some((_, name)) => (*name, KIND_TYPEDEF),
                None => (0, KIND_FWD),
            };
            for word in [name, kind << 24, 0] {
                types.extend_from_slice(&word.to_le_bytes());
            }
        }
        let (type_len, string_len) =
            (u32::try_from(types.len()).unwrap_or(0), u32::try_from(strings.len()).unwrap_or(0));
        let mut bytes = Vec::with_capacity(24 + types.len() + strings.len());
        bytes.extend_from_slice(&[0x9f, 0xeb, 1, 0]);
        for word in [24, 0, type_len, type_len, string_len] {
            bytes.extend_from_slice(&u32::to_le_bytes(word));
        }
        bytes.extend_from_slice(&types);
        bytes.extend_from_slice(&strings);
        bytes
    }
}
