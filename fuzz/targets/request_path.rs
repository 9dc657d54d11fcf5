//! Paths of URLs, and the guess of a protocol by its first bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| agent::fuzz::request_path(data));
