//! An OTLP request in JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aggregator::fuzz::otlp_json(data));
