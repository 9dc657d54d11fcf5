//! Rows of several chunks together: their origins as one list, and rows gathered in any order.

use std::collections::HashMap;
use std::sync::Arc;

use super::log::{LogRows, Origin};

/// The origins of several chunks as one list, so that rows of all of them can stand together.
#[derive(Debug)]
pub(crate) struct OriginMap {
    pub(crate) origins: Vec<Arc<Origin>>,
    of_chunk: Vec<Vec<u32>>,
}

impl OriginMap {
    pub(crate) fn new(chunks: &[&LogRows]) -> Self {
        let mut known: HashMap<Arc<Origin>, u32> = HashMap::new();
        let mut origins: Vec<Arc<Origin>> = Vec::new();
        let of_chunk = chunks
            .iter()
            .map(|chunk| {
                let place = |origin: &Arc<Origin>| {
                    *known.entry(Arc::clone(origin)).or_insert_with(|| {
                        origins.push(Arc::clone(origin));
                        u32::try_from(origins.len() - 1).unwrap_or(u32::MAX)
                    })
                };
                chunk.origins.iter().map(place).collect()
            })
            .collect();
        Self { origins, of_chunk }
    }

    /// The common origin of a chunk's row.
    pub(crate) fn origin(&self, chunks: &[&LogRows], (chunk, row): (u32, u32)) -> u32 {
        self.of_chunk[chunk as usize][chunks[chunk as usize].origin[row as usize] as usize]
    }

    /// The rows at (chunk, row), in this order, without their bodies.
    pub(crate) fn gather(&self, chunks: &[&LogRows], order: &[(u32, u32)]) -> LogRows {
        let mut rows = LogRows { origins: self.origins.clone(), ..LogRows::default() };
        rows.origin.reserve(order.len());
        rows.ts.reserve(order.len());
        rows.observed_ts.reserve(order.len());
        rows.lsn.reserve(order.len());
        rows.truncated.reserve(order.len());
        for at in order {
            let chunk = chunks[at.0 as usize];
            let row = at.1 as usize;
            if !chunk.attributes.is_empty()
                && let Some(attributes) = chunk.attributes_of(at.1)
            {
                let position = u32::try_from(rows.ts.len()).unwrap_or(u32::MAX);
                rows.attributes.push((position, Arc::clone(attributes)));
            }
            rows.origin.push(self.origin(chunks, *at));
            rows.ts.push(chunk.ts[row]);
            rows.observed_ts.push(chunk.observed_ts[row]);
            rows.lsn.push(chunk.lsn[row]);
            rows.truncated.push(chunk.truncated[row]);
            rows.trace_ids.push(chunk.trace_ids.get(row));
            rows.span_ids.push(chunk.span_ids.get(row));
        }
        rows
    }
}
