//! Object files, as `crate::fuzz` gives them.

use super::elf;

/// An object file's sections.
pub fn object(data: &[u8]) {
    for name in [".BTF", ".BTF.ext", "license", ""] {
        elf::section(data, name);
    }
}
