//! Pages of another body file, taken over as they lie there: packed, with their blooms, under new row numbers.

use std::io::{self, Write};

use super::super::format::Page;
use super::super::read::PackedPage;
use super::BodyWriter;

impl<W: Write> BodyWriter<'_, W> {
    /// Appends a page to the current run without unpacking it.
    pub(crate) fn copy_page(&mut self, packed: PackedPage) -> io::Result<()> {
        let PackedPage { page, packed, blooms } = packed;
        self.end_block()?;
        self.out.write_all(&packed)?;
        self.footer.pages.push(Page {
            offset: self.offset,
            first_row: self.next_row,
            bloom_offset: self.blooms.len() as u64,
            ..page
        });
        self.blooms.extend_from_slice(&blooms);
        if let Some(run) = self.footer.runs.last_mut() {
            run.rows += page.rows;
            run.pages += 1;
        }
        self.offset += packed.len() as u64;
        self.next_row += page.rows;
        self.text_bytes += u64::from(page.text);
        Ok(())
    }
}
