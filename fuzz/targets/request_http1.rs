//! Requests of http1: calls of both directions, whole, cut and with gaps.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| agent::fuzz::request_http1(data));
