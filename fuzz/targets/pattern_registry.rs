//! The store's registry of log patterns.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| store::fuzz::pattern_registry(data));
