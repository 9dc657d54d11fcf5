//! The file that says where reading goes on.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| agent::fuzz::checkpoints(data));
