use std::sync::Arc;

use proto::v1::Identity;

use super::{Head, TableHead};
use crate::Table;
use crate::rows::{CHUNK_ROWS, Chunk, LogRow, LogRowsBuilder};

fn chunk(first_lsn: i64, rows: usize) -> Chunk {
    let identities = [Arc::new(Identity::default())];
    let mut builder = LogRowsBuilder::new(&identities, rows, 0);
    for lsn in (first_lsn..).take(rows) {
        builder.push(&LogRow { ts: lsn, body: b"line", ..LogRow::default() }, lsn);
    }
    Chunk::Log(Box::new(builder.finish()))
}

fn lsns(head: &TableHead) -> Vec<i64> {
    head.chunks()
        .iter()
        .flat_map(|chunk| match &**chunk {
            Chunk::Log(rows) => rows.lsn.clone(),
            Chunk::Rows(_) => Vec::new(),
        })
        .collect()
}

#[test]
fn small_chunks_grow_together_and_no_row_is_lost() {
    let mut head = TableHead::default();
    (0..20_000).for_each(|lsn| head.push(chunk(lsn, 1), lsn));
    assert_eq!(lsns(&head), (0..20_000).collect::<Vec<i64>>());
    assert!(head.chunks().len() < 24, "{}", head.chunks().len());
    assert!(head.chunks().iter().all(|chunk| chunk.rows() <= CHUNK_ROWS));
}

#[test]
fn what_arrives_during_a_seal_stays() {
    let mut head = TableHead::default();
    head.push(chunk(0, 10), 100);
    assert_eq!(head.freeze().len(), 1);
    head.push(chunk(10, 5), 200);
    assert_eq!(lsns(&head).len(), 15);
    head.thaw();
    assert_eq!(lsns(&head), (10..15).collect::<Vec<i64>>());
    assert_eq!((head.rows, head.body_bytes, head.oldest_ns), (5, 20, Some(200)));
    head.freeze();
    head.thaw();
    assert_eq!((head.rows, head.bytes, head.body_bytes, head.oldest_ns), (0, 0, 0, None));
}

#[test]
fn memory_is_counted_over_all_tables() {
    let mut head = Head::default();
    assert_eq!(head.bytes(), 0);
    head.table_mut(Table::Log).push(chunk(0, 100), 0);
    assert!(head.bytes() > 400);
    assert_eq!(head.bytes(), head.table(Table::Log).bytes);
}
