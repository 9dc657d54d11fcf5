//! Writing `terms.bin` beside the columns: the terms of 4,096 rows at a time, in bounded memory.

use std::io::{self, Write};

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Int32Type};

use super::{MAGIC, MOST_BYTES, ROWS, VERSION, WORDS, bloom, columns, hash};
use crate::Table;
use crate::search::{MIN_TOKEN, tokens};
use crate::segment::body::TokenSet;

/// One of the two kinds of blooms.
#[derive(Default)]
struct Kind {
    /// What the rows since the last bloom have.
    set: TokenSet,
    pages: Vec<(u64, u32)>,
}

impl Kind {
    /// Adds a term or a word; whether it was new, or cannot be told.
    fn insert(&mut self, hash: u64) -> bool {
        // so many have no bloom: their rows are read
        self.set.len > bloom::most(MOST_BYTES) || self.set.insert(hash)
    }
}

/// Takes the rows of a segment in their order.
pub(crate) struct TermsWriter<W> {
    out: W,
    table: Table,
    at: u64,
    rows: u32,
    /// Terms and words.
    kinds: [Kind; 2],
    buffer: Vec<u8>,
    bloom: Vec<u8>,
}

impl<W: Write> TermsWriter<W> {
    pub(crate) fn new(mut out: W, table: Table) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        Ok(Self {
            out,
            table,
            at: MAGIC.len() as u64 + 4,
            rows: 0,
            kinds: Default::default(),
            buffer: Vec::new(),
            bloom: Vec::new(),
        })
    }

    /// The next rows.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let mut at = 0;
        while at < batch.num_rows() {
            let len = (batch.num_rows() - at).min((ROWS - self.rows) as usize);
            let rows = batch.slice(at, len);
            let terms = columns(self.table);
            let texts = self.table.texts().iter().filter(|text| !terms.contains(text));
            for name in terms.iter().chain(texts) {
                if let Some(column) = rows.column_by_name(name) {
                    self.add_column(name, column);
                }
            }
            self.rows += u32::try_from(len).unwrap_or(ROWS);
            at += len;
            if self.rows == ROWS {
                self.end_page()?;
            }
        }
        Ok(())
    }

    fn add_column(&mut self, name: &str, column: &dyn Array) {
        let Self { kinds: [terms, words], table, buffer, .. } = self;
        let is_term = columns(*table).contains(&name);
        let is_searched = table.texts().contains(&name);
        each(column, &mut |key, value| {
            // a value that was there before has no new words; with a zero byte key and value may run into each other, and be
            // the same term as another value
            let may_be_another = key.contains('\0') || value.contains('\0');
            let is_new =
                !is_term || terms.insert(hash(name, key, value.as_bytes(), buffer)) || may_be_another;
            if is_new && is_searched {
                for (_, token) in tokens(value.as_bytes()).filter(|(_, token)| token.len() >= MIN_TOKEN) {
                    words.insert(hash(name, "", token, buffer));
                }
            }
        });
    }

    fn end_page(&mut self) -> io::Result<()> {
        for (kind, salt) in self.kinds.iter_mut().zip([0, WORDS]) {
            let blocks = bloom::blocks(kind.set.len, MOST_BYTES);
            self.bloom.clear();
            if blocks > 0 {
                bloom::build(kind.set.iter(), salt | kind.pages.len() as u64, blocks, &mut self.bloom);
            }
            self.out.write_all(&self.bloom)?;
            kind.pages.push((self.at, u32::try_from(blocks).unwrap_or(0)));
            self.at += self.bloom.len() as u64;
            kind.set.clear();
        }
        self.rows = 0;
        Ok(())
    }

    /// How many terms and words are held.
    #[cfg(test)]
    pub(super) fn held(&self) -> [usize; 2] {
        [self.kinds[0].set.len, self.kinds[1].set.len]
    }

    /// Writes what is left, and the footer.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        if self.rows > 0 {
            self.end_page()?;
        }
        let [Kind { pages: terms, .. }, Kind { pages: words, .. }] = &self.kinds;
        let mut footer = Vec::with_capacity((terms.len() + words.len()) * super::PAGE);
        for (at, blocks) in terms.iter().chain(words) {
            footer.extend_from_slice(&at.to_le_bytes());
            footer.extend_from_slice(&blocks.to_le_bytes());
        }
        self.out.write_all(&footer)?;
        self.out.write_all(&u32::try_from(terms.len()).unwrap_or(u32::MAX).to_le_bytes())?;
        self.out.write_all(&crc32c::crc32c(&footer).to_le_bytes())?;
        self.out.write_all(&VERSION.to_le_bytes())?;
        self.out.write_all(MAGIC)?;
        Ok(self.out)
    }
}

/// Every text of a column with its key, '' but for maps; of a dictionary each value that some row has once.
fn each(column: &dyn Array, take: &mut dyn FnMut(&str, &str)) {
    match column.data_type() {
        DataType::Dictionary(..) => {
            let Some(column) = column.as_dictionary_opt::<Int32Type>() else { return };
            let Some(values) = column.values().as_string_opt::<i32>() else { return };
            let mut used = vec![false; values.len()];
            for key in column.keys().iter().flatten() {
                if let Some(used) = usize::try_from(key).ok().and_then(|key| used.get_mut(key)) {
                    *used = true;
                }
            }
            values
                .iter()
                .zip(used)
                .filter(|(_, used)| *used)
                .filter_map(|(value, _)| value)
                .for_each(|value| take("", value));
        }
        DataType::Utf8 => column.as_string::<i32>().iter().flatten().for_each(|value| take("", value)),
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            let Some(values) = list.values().as_string_opt::<i32>() else { return };
            for at in within(list.value_offsets()).filter(|at| values.is_valid(*at)) {
                take("", values.value(at));
            }
        }
        DataType::Map(..) => {
            let map = column.as_map();
            let (Some(keys), Some(values)) =
                (map.keys().as_string_opt::<i32>(), map.values().as_string_opt::<i32>())
            else {
                return;
            };
            for at in within(map.value_offsets()).filter(|at| values.is_valid(*at)) {
                take(keys.value(at), values.value(at));
            }
        }
        _ => {}
    }
}

/// The values that belong to some of the rows of a list, from the first to the last.
fn within(offsets: &[i32]) -> std::ops::Range<usize> {
    let place = |at: Option<&i32>| at.and_then(|at| usize::try_from(*at).ok()).unwrap_or(0);
    place(offsets.first())..place(offsets.last())
}
