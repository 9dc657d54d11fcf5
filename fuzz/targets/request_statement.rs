//! SQL statements: no literal and no quote survives.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| agent::fuzz::request_statement(data));
