//! The kernel's description of its own types.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| agent::fuzz::kernel_btf(data));
