//! Files of the spool.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| agent::fuzz::spool(data));
