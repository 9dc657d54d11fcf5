//! Texts of cgroup and proc files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| agent::fuzz::kernel_files(data));
