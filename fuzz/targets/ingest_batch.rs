//! Batches as agents send them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| store::fuzz::ingest_batch(data));
