//! Manifests of the catalog.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| store::fuzz::manifest(data));
