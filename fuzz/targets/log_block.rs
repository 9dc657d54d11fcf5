//! A block of log bodies: encoder, decoder and matcher.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| store::fuzz::log_block(data));
