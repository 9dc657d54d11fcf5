//! A field of a line, and of a template.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| store::fuzz::log_field(data));
