//! Files of the write-ahead log.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| store::fuzz::write_ahead_log(data));
