//! Exports of other people's monitoring.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cli::fuzz::effects_export(data));
