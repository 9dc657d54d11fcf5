//! Templates that are nearly equal become one: the words in which they differ become slots.

use std::cmp::Reverse;
use std::ops::Range;

use super::SLOT;
use crate::rows::Texts;

/// Where a slot of a merged template takes its value from, in a text of one of the templates that were merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Its own slot.
    Slot(usize),
    /// A word of its template.
    Word(Range<usize>),
    /// The whole text.
    Whole,
}

/// Templates after merging, the frequent first.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) texts: Texts,
    /// Which merged template each template went into.
    pub(super) of: Vec<u32>,
    /// How it did; `None`: as it was.
    pub(super) pieces: Vec<Option<Vec<Piece>>>,
}

/// Merges templates of lines; `counts` is how many lines each has.
pub(super) fn merge(templates: &Texts, counts: &[u32]) -> Merged {
    let mut order: Vec<u32> = (0..counts.len() as u32).collect();
    order.sort_by_key(|id| Reverse(counts[*id as usize]));
    let mut merged = Merged { of: vec![0; order.len()], ..Merged::default() };
    merged.pieces.resize(order.len(), None);
    for (at, id) in (0..).zip(&order) {
        merged.of[*id as usize] = at;
        merged.texts.push(templates.get(*id as usize));
    }
    merged
}

/// Keeps at most `most` shapes; values of rare ones become whole values. `None` if that leaves too little.
pub(super) fn rare(shapes: &Texts, counts: &[u32], most: usize) -> Option<Merged> {
    let mut order: Vec<u32> = (0..counts.len() as u32).collect();
    order.sort_by_key(|id| Reverse(counts[*id as usize]));
    let total: u64 = counts.iter().map(|count| u64::from(*count)).sum();
    let few = if order.len() > 8 { 2 } else { 0 };
    let kept = order.iter().take(most - 1).take_while(|id| counts[**id as usize] > few).count();
    let covered: u64 = order[..kept].iter().map(|id| u64::from(counts[*id as usize])).sum();
    if covered * 4 < total * 3 {
        return None;
    }
    let mut merged = Merged { of: vec![kept as u32; order.len()], ..Merged::default() };
    merged.pieces.resize(order.len(), None);
    let mut whole = None;
    for (at, id) in order[..kept].iter().enumerate() {
        let shape = shapes.get(*id as usize);
        if shape == [SLOT] {
            whole = Some(at as u32);
        }
        merged.of[*id as usize] = at as u32;
        merged.texts.push(shape);
    }
    if kept < order.len() {
        if whole.is_none() {
            merged.texts.push(&[SLOT]);
        }
        let whole = whole.unwrap_or(kept as u32);
        for id in &order[kept..] {
            merged.of[*id as usize] = whole;
            merged.pieces[*id as usize] = Some(vec![Piece::Whole]);
        }
    }
    Some(merged)
}
