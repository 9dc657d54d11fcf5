//! Files that processes run, which are looked through for TLS libraries.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| agent::fuzz::tls_binary(data));
