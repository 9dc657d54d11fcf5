//! An OTLP request in protobuf.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aggregator::fuzz::otlp_protobuf(data));
