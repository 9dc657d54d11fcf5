//! Lines of logs: framing, time, level, trace, redaction.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| agent::fuzz::lines(data));
