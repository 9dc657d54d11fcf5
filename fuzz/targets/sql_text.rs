//! Texts of SQL queries.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aggregator::fuzz::sql_text(data));
