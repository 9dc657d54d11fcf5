//! The running kernel's types: where a struct keeps a field, what an enumerator is, which arguments a tracepoint has.
//!
//! In: the bytes of `/sys/kernel/btf/vmlinux`. Out: offsets that go into the programs' frozen globals, since rustc
//! emits no relocations that would follow the kernel. Pure, and panics on no input.
//! Does not: know bitfields (refused), modules, or pointers (a path stays inside one struct).

mod parse;
mod resolve;
mod trace;

pub use resolve::{FieldError, Param, Place};

/// A parsed `vmlinux` BTF: the raw bytes and where each type begins in them.
pub struct Btf {
    data: Vec<u8>,
    /// Byte offset of type `id` in `data`; `types[0]` is void.
    types: Vec<u32>,
    /// Of structs, unions, enums and `btf_trace_*` typedefs: (hash of the name, id), sorted.
    named: Vec<(u64, u32)>,
    strings: std::ops::Range<usize>,
}

impl std::fmt::Debug for Btf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Btf").field("bytes", &self.data.len()).field("types", &self.types.len()).finish()
    }
}

/// Why bytes are not BTF.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// The file could not be read.
    #[error("read {path}: {detail}")]
    Read {
        /// Which file
        path: String,
        /// What the system said
        detail: String,
    },
    /// Too short, or not the magic of this machine's byte order.
    #[error("no BTF header")]
    Header,
    /// A section lies outside the file.
    #[error("BTF section outside the file")]
    Section,
    /// A type of a kind that is not known, so that its length is not either.
    #[error("BTF type {id} has kind {kind}, which is not known")]
    Kind {
        /// Number of the type
        id: u32,
        /// Its kind
        kind: u32,
    },
}

#[cfg(test)]
mod tests;
