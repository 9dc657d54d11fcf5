//! Conditions of SQL: literals, patterns, times.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aggregator::fuzz::sql_filter(data));
