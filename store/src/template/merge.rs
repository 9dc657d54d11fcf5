//! Templates that are nearly equal become one: the words in which they differ become slots.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use super::values::Interner;
use super::{DIGITS, SLOT};
use crate::rows::Texts;
use crate::search::is_token_byte;

/// So many different words at one place, all else being equal, are values.
const FEW_WORDS: usize = 4;
/// Templates that begin alike and of which each has a word of its own.
const MANY: usize = 8;
/// Words and slots of a template, beyond which it is left alone.
const MAX_PLACES: usize = 96;
/// Opening one place can make templates alike in another.
const ROUNDS: usize = 3;

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

/// Merges templates of lines; `counts` is how many lines each has. What comes out depends on the set of templates alone.
pub(super) fn merge(templates: &Texts, counts: &[u32]) -> Merged {
    let mut items: Vec<Items> = templates.iter().map(Items::of).collect();
    let mut kinds: HashMap<(u64, usize), Vec<usize>> = HashMap::new();
    for (at, item) in items.iter().enumerate() {
        kinds.entry((item.skeleton, item.items.len())).or_default().push(at);
    }
    for members in kinds.into_values().filter(|members| members.len() > 1) {
        widen(&members, templates, &mut items);
    }
    let mut merged = Merged::default();
    let (mut texts, mut sums): (Interner, Vec<u64>) = (Interner::default(), Vec::new());
    let mut text = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let template = templates.get(at);
        item.write(template, &mut text);
        let (id, new) = texts.add(&text);
        if new {
            sums.push(0);
        }
        sums[id as usize] += u64::from(counts[at]);
        merged.of.push(id);
        merged.pieces.push((text != template).then(|| item.pieces()));
    }
    let mut order: Vec<u32> = (0..sums.len() as u32).collect();
    order.sort_by_key(|id| (Reverse(sums[*id as usize]), *id));
    let mut rank = vec![0; order.len()];
    for (at, id) in (0..).zip(&order) {
        rank[*id as usize] = at;
        merged.texts.push(texts.texts.get(*id as usize));
    }
    merged.of.iter_mut().for_each(|id| *id = rank[*id as usize]);
    merged
}

/// A template as a row of words and slots, and what stands between them.
struct Items {
    skeleton: u64,
    items: Vec<Item>,
}

#[derive(Clone)]
struct Item {
    /// Where it stands in the template.
    range: Range<usize>,
    /// The number of the slot, if it was one before.
    slot: Option<usize>,
    /// Whether it is a slot now.
    open: bool,
}

impl Items {
    fn of(template: &[u8]) -> Self {
        let (mut items, mut between) = (Vec::new(), Vec::with_capacity(template.len()));
        let (mut at, mut slots) = (0, 0);
        while at < template.len() {
            let start = at;
            if template[at] <= DIGITS {
                at += 1;
                items.push(Item { range: start..at, slot: Some(slots), open: true });
                slots += 1;
                between.push(SLOT);
                continue;
            }
            while at < template.len() && is_word(template[at]) {
                at += 1;
            }
            let mut end = at;
            while end > start && !is_token_byte(template[end - 1]) {
                end -= 1;
            }
            if end > start {
                items.push(Item { range: start..end, slot: None, open: false });
                between.push(SLOT);
                between.extend_from_slice(&template[end..at]);
            } else {
                at = at.max(start + 1);
                between.extend_from_slice(&template[start..at]);
            }
        }
        Self { skeleton: xxhash_rust::xxh3::xxh3_64(&between), items }
    }

    fn write(&self, template: &[u8], out: &mut Vec<u8>) {
        out.clear();
        let mut from = 0;
        for item in self.items.iter().filter(|item| item.open) {
            out.extend_from_slice(&template[from..item.range.start]);
            out.push(SLOT);
            from = item.range.end;
        }
        out.extend_from_slice(&template[from..]);
    }

    fn pieces(&self) -> Vec<Piece> {
        let open = self.items.iter().filter(|item| item.open);
        open.map(|item| item.slot.map_or(Piece::Word(item.range.clone()), Piece::Slot)).collect()
    }

    /// What it says, leaving out the word at `place`.
    fn without(&self, template: &[u8], place: usize, out: &mut Vec<u8>) {
        out.clear();
        for (at, item) in self.items.iter().enumerate() {
            if at != place && !item.open {
                out.extend_from_slice(&template[item.range.clone()]);
            }
            out.push(if item.open && at != place { DIGITS } else { SLOT });
        }
    }
}

fn is_word(byte: u8) -> bool {
    is_token_byte(byte) || matches!(byte, b'-' | b'_' | b'.' | b'/' | b':' | b'@' | b'+' | b'~' | b'#' | b'$')
}

/// Opens the words in which templates of one skeleton differ: where all else is equal and there are several words or a
/// slot beside a word, then where nearly each of many templates has a word of its own.
fn widen(members: &[usize], templates: &Texts, items: &mut [Items]) {
    let places = items[members[0]].items.len();
    if !(2..=MAX_PLACES).contains(&places) {
        return;
    }
    let mut key = Vec::new();
    for _ in 0..ROUNDS {
        let mut opened = false;
        for place in 0..places {
            let mut alike: HashMap<u64, Vec<usize>> = HashMap::new();
            for member in members {
                items[*member].without(templates.get(*member), place, &mut key);
                // with no word left, nothing says that they belong together
                if key.iter().any(|byte| *byte > DIGITS) {
                    alike.entry(xxhash_rust::xxh3::xxh3_64(&key)).or_default().push(*member);
                }
            }
            for alike in alike.into_values().filter(|alike| alike.len() > 1) {
                let open = alike.iter().filter(|member| items[**member].items[place].open).count();
                let closed = distinct(&alike, place, templates, items);
                if closed > 0 && (closed >= FEW_WORDS || open > 0) {
                    alike.iter().for_each(|member| items[*member].items[place].open = true);
                    opened = true;
                }
            }
        }
        if !opened {
            break;
        }
    }
    let mut by_first: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for member in members {
        let template = templates.get(*member);
        if let Some(first) = items[*member].items.iter().find(|item| !item.open) {
            by_first.entry(&template[first.range.clone()]).or_default().push(*member);
        }
    }
    for alike in by_first.into_values().filter(|alike| alike.len() > MANY) {
        for place in 0..places {
            if distinct(&alike, place, templates, items) * 4 > alike.len() {
                alike.iter().for_each(|member| items[*member].items[place].open = true);
            }
        }
    }
}

/// How many different words templates have at a place.
fn distinct(members: &[usize], place: usize, templates: &Texts, items: &[Items]) -> usize {
    let closed = members.iter().filter(|member| !items[**member].items[place].open);
    let mut words: Vec<&[u8]> =
        closed.map(|member| &templates.get(*member)[items[*member].items[place].range.clone()]).collect();
    words.sort_unstable();
    words.dedup();
    words.len()
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
