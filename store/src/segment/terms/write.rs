//! Writing `terms.bin` beside the columns: the terms of 4,096 rows at a time, in bounded memory.

use std::io::{self, Write};

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Int32Type};

use super::{MAGIC, MOST_BYTES, ROWS, VERSION, bloom, columns, hash};
use crate::Table;
use crate::segment::body::TokenSet;

/// Takes the rows of a segment in their order.
pub(crate) struct TermsWriter<W> {
    out: W,
    columns: &'static [&'static str],
    at: u64,
    set: TokenSet,
    rows: u32,
    pages: Vec<(u64, u32)>,
    buffer: Vec<u8>,
    bloom: Vec<u8>,
}

impl<W: Write> TermsWriter<W> {
    pub(crate) fn new(mut out: W, table: Table) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        Ok(Self {
            out,
            columns: columns(table),
            at: MAGIC.len() as u64 + 4,
            set: TokenSet::default(),
            rows: 0,
            pages: Vec::new(),
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
            for name in self.columns {
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
        let Self { set, buffer, .. } = self;
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
                for (value, _) in values.iter().zip(used).filter(|(_, used)| *used) {
                    if let Some(value) = value {
                        set.insert(hash(name, "", value.as_bytes(), buffer));
                    }
                }
            }
            DataType::Utf8 => {
                for value in column.as_string::<i32>().iter().flatten() {
                    set.insert(hash(name, "", value.as_bytes(), buffer));
                }
            }
            DataType::Map(..) => {
                let map = column.as_map();
                let (Some(keys), Some(values)) =
                    (map.keys().as_string_opt::<i32>(), map.values().as_string_opt::<i32>())
                else {
                    return;
                };
                let offsets = map.value_offsets();
                let place = |at: Option<&i32>| at.and_then(|at| usize::try_from(*at).ok()).unwrap_or(0);
                for entry in place(offsets.first())..place(offsets.last()) {
                    if values.is_valid(entry) {
                        set.insert(hash(name, keys.value(entry), values.value(entry).as_bytes(), buffer));
                    }
                }
            }
            _ => {}
        }
    }

    fn end_page(&mut self) -> io::Result<()> {
        let blocks = bloom::blocks(self.set.len, MOST_BYTES);
        self.bloom.clear();
        if blocks > 0 {
            let salt = self.pages.len() as u64;
            bloom::build(self.set.iter(), salt, blocks, &mut self.bloom);
        }
        self.out.write_all(&self.bloom)?;
        self.pages.push((self.at, u32::try_from(blocks).unwrap_or(0)));
        self.at += self.bloom.len() as u64;
        self.set.clear();
        self.rows = 0;
        Ok(())
    }

    /// Writes what is left, and the footer.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        if self.rows > 0 {
            self.end_page()?;
        }
        let mut footer = Vec::with_capacity(self.pages.len() * super::PAGE);
        for (at, blocks) in &self.pages {
            footer.extend_from_slice(&at.to_le_bytes());
            footer.extend_from_slice(&blocks.to_le_bytes());
        }
        self.out.write_all(&footer)?;
        self.out.write_all(&u32::try_from(self.pages.len()).unwrap_or(u32::MAX).to_le_bytes())?;
        self.out.write_all(&crc32c::crc32c(&footer).to_le_bytes())?;
        self.out.write_all(&VERSION.to_le_bytes())?;
        self.out.write_all(MAGIC)?;
        Ok(self.out)
    }
}
