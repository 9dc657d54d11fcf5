//! `terms.bin` of a segment.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| store::fuzz::segment_terms(data));
