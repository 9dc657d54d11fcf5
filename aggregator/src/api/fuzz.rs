//! Query strings, as `crate::fuzz` gives them.

use axum::extract::Query as Given;
use axum::http::Uri;
use store::Table;

use crate::api::logs;
use crate::api::params::Params;
use crate::api::wheres::{Values, clause};

const NOW_NS: i64 = 1_795_262_400_000_000_000;

/// A query string, read in every way that an endpoint reads one.
pub(crate) fn query_string(data: &[u8]) {
    let Ok(uri) = format!("/?{}", String::from_utf8_lossy(data)).parse::<Uri>() else { return };
    let Ok(given) = Given::<Vec<(String, String)>>::try_from_uri(&uri) else { return };
    let names: Vec<String> = given.0.iter().map(|(name, _)| name.clone()).collect();
    let Ok(mut params) = Params::new(given.0, NOW_NS) else { return };
    let range = params.range(3_600);
    if let Ok(range) = &range {
        assert!(range.from_ns <= range.to_ns, "a range does not end before it begins");
        for table in Table::ALL {
            let wheres = vec![(names.first().cloned().unwrap_or_default(), names.concat())];
            clause(table, *range, &wheres, &mut Values::default()).ok();
        }
        logs::request(&mut params, *range).ok();
    }
    params.number("limit", 10, 100).ok();
    params.choice("by", &["level", "workload"]).ok();
    if let Ok(Some(step)) = params.duration_ns("step") {
        assert!(step >= 1_000_000, "a step is never nothing");
    }
    params.end().ok();
}
