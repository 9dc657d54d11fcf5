//! Conntrack's answers over netlink.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| agent::fuzz::conntrack(data));
