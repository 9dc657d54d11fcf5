//! What the fuzz targets in `fuzz/` call: what people and tools ask, and what an operator writes.
//!
//! No input may make any of these panic or break what is asserted. The tests replay the corpus through the same table, so
//! that a finding stays found. Hidden: no program uses this.

use std::collections::BTreeMap;

use crate::ingest::otlp;
use crate::{api, query};

/// A target's name in `fuzz/`, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of this crate.
pub const TARGETS: [Target; 6] = [
    ("query_string", query_string),
    ("sql_text", sql_text),
    ("sql_filter", sql_filter),
    ("aggregator_config", config),
    ("otlp_protobuf", otlp_protobuf),
    ("otlp_json", otlp_json),
];

/// The query string of a REST request.
pub fn query_string(data: &[u8]) {
    api::fuzz(data);
}

/// The text of a query, as far as it is judged before it is planned.
pub fn sql_text(data: &[u8]) {
    query::fuzz_text(&String::from_utf8_lossy(data));
}

/// A condition: literals, patterns and times of SQL, and what the store makes of them.
pub fn sql_filter(data: &[u8]) {
    query::fuzz_filter(&String::from_utf8_lossy(data));
}

/// An OTLP request in protobuf: logs, traces or metrics.
pub fn otlp_protobuf(data: &[u8]) {
    otlp::fuzz_protobuf(data);
}

/// An OTLP request in JSON: logs, traces or metrics.
pub fn otlp_json(data: &[u8]) {
    otlp::fuzz_json(data);
}

/// The aggregator's configuration file.
pub fn config(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let read = daemon::config::parse::<crate::config::Config>(text, "aggregator.yaml", &BTreeMap::new());
    match read {
        Ok(config) => drop((config.limits(), config.query_memory_bytes(2), config.ingest_kib())),
        Err(errors) => assert!(!errors.0.is_empty(), "a refusal names a mistake"),
    }
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_and_changes_of_it_do_no_harm() {
        super::replay::all(&super::TARGETS);
    }
}
