//! The head: what is acknowledged and not yet sealed, in memory, searched directly.
//!
//! In: chunks of rows that are durable. Out: the same chunks to snapshots and to the seal.
//! Invariants: a chunk never changes; small ones are replaced by a bigger one with the same rows, in order; what a seal
//! has begun to write (`frozen`) stays apart from what arrives meanwhile (`open`).

use std::sync::Arc;

use crate::Table;
use crate::rows::{CHUNK_ROWS, Chunk};

/// Chunks of so many rows are left as they are: to copy them again costs more than to have a few more of them.
const LARGE: usize = CHUNK_ROWS / 4;

/// The head of every table.
#[derive(Debug, Default)]
pub(crate) struct Head {
    tables: [TableHead; Table::COUNT],
}

/// The head of one table.
#[derive(Debug, Default)]
pub(crate) struct TableHead {
    frozen: Vec<Arc<Chunk>>,
    open: Vec<Arc<Chunk>>,
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
    /// Log bodies, bytes.
    pub(crate) body_bytes: usize,
    /// When the oldest row arrived, ns.
    pub(crate) oldest_ns: Option<i64>,
    frozen_until: Totals,
}

/// What is left when the frozen part goes.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    rows: usize,
    bytes: usize,
    body_bytes: usize,
    /// When the first row of the open part arrived, ns.
    open_oldest_ns: Option<i64>,
}

impl Head {
    pub(crate) fn table(&self, table: Table) -> &TableHead {
        &self.tables[table.index()]
    }

    pub(crate) fn table_mut(&mut self, table: Table) -> &mut TableHead {
        &mut self.tables[table.index()]
    }

    /// Memory of all tables, bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.tables.iter().map(|table| table.bytes).sum()
    }
}

impl TableHead {
    /// Adds rows that arrived at `now_ns`.
    pub(crate) fn push(&mut self, chunk: Chunk, now_ns: i64) {
        self.add(&chunk);
        self.oldest_ns = Some(self.oldest_ns.map_or(now_ns, |oldest| oldest.min(now_ns)));
        let open = &mut self.frozen_until.open_oldest_ns;
        *open = Some(open.map_or(now_ns, |oldest| oldest.min(now_ns)));
        self.open.push(Arc::new(chunk));
        // like carrying in a binary number: each row is copied only a few times
        while let [.., first, second] = &self.open[..] {
            let many = first.rows() + second.rows() > CHUNK_ROWS;
            if many || first.rows() >= LARGE || second.rows() * 2 < first.rows() {
                break;
            }
            let Some(both) = first.concat(second) else { break };
            let before = first.bytes() + second.bytes();
            self.bytes = (self.bytes + both.bytes()).saturating_sub(before);
            self.open.truncate(self.open.len() - 2);
            self.open.push(Arc::new(both));
        }
    }

    /// Every chunk, oldest first.
    pub(crate) fn chunks(&self) -> Vec<Arc<Chunk>> {
        self.frozen.iter().chain(&self.open).map(Arc::clone).collect()
    }

    /// Sets apart what a seal is going to write, with what an earlier seal could not.
    pub(crate) fn freeze(&mut self) -> Vec<Arc<Chunk>> {
        self.frozen.append(&mut self.open);
        self.frozen_until =
            Totals { rows: self.rows, bytes: self.bytes, body_bytes: self.body_bytes, open_oldest_ns: None };
        self.frozen.clone()
    }

    /// Lets go of what is sealed.
    pub(crate) fn thaw(&mut self) {
        let Totals { rows, bytes, body_bytes, open_oldest_ns } = self.frozen_until;
        self.frozen.clear();
        self.rows = self.rows.saturating_sub(rows);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.body_bytes = self.body_bytes.saturating_sub(body_bytes);
        self.oldest_ns = open_oldest_ns;
        self.frozen_until = Totals { open_oldest_ns, ..Totals::default() };
    }

    fn add(&mut self, chunk: &Chunk) {
        self.rows += chunk.rows();
        self.bytes += chunk.bytes();
        if let Chunk::Log(rows) = chunk {
            self.body_bytes += rows.bodies.all().len();
        }
    }
}

#[cfg(test)]
mod tests;
