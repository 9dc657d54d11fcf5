//! Structs of the kernel's maps and rings.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| agent::fuzz::kernel_records(data));
