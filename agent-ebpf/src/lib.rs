//! What the programs share; each `bin` is one ELF object, one hook family.
#![no_std]
