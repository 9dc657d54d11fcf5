//! Bodies of a block, by row: all of them, or some without making the others.

use std::io;

use super::Block;
use crate::rows::Texts;
use crate::template::bad;
use crate::template::bits::Bits;
use crate::template::decode::Parts;

impl Block<'_> {
    /// The bodies of these rows, or of all.
    pub(crate) fn bodies(&self, rows: Option<&Bits>) -> io::Result<Texts> {
        match rows {
            None => self.all_bodies(),
            Some(rows) => self.some_bodies(rows),
        }
    }

    fn all_bodies(&self) -> io::Result<Texts> {
        let head = self.head();
        let (lines_of_row, ids) = (self.lines_of_row()?, self.line_ids()?);
        let mut parts = Vec::with_capacity(head.top.templates.len());
        for (at, template) in head.top.templates.iter().enumerate() {
            let times = self.times_for(template, Some(at))?;
            parts.push(Parts::read(self, template, times.as_deref(), None)?);
        }
        let mut next = vec![0_usize; parts.len()];
        let mut texts = Texts::with_capacity(head.rows, head.text);
        let (mut body, mut line) = (Vec::new(), 0);
        for row in 0..head.rows {
            let end = line + lines_of_row.as_ref().map_or(1, |lines| lines[row]);
            body.clear();
            for (at, id) in ids[line..end].iter().enumerate() {
                if at > 0 {
                    body.push(b'\n');
                }
                let place = next[*id as usize];
                next[*id as usize] += 1;
                parts[*id as usize].write(place, &mut body);
                if texts.all().len() + body.len() > head.text {
                    return Err(bad("more text than the head says"));
                }
            }
            texts.push(&body);
            line = end;
        }
        if texts.all().len() == head.text { Ok(texts) } else { Err(bad("less text than the head says")) }
    }

    /// Reads of each template the wanted lines alone: a value of a column costs little where its stream is in memory.
    fn some_bodies(&self, rows: &Bits) -> io::Result<Texts> {
        let head = self.head();
        let (lines_of_row, ids) = (self.lines_of_row()?, self.line_ids()?);
        let wanted: Vec<u32> = rows.iter().take_while(|row| *row < head.rows).map(|row| row as u32).collect();
        // the wanted lines: of which template, and which of its lines
        let mut places: Vec<Vec<u32>> = vec![Vec::new(); head.top.templates.len()];
        let mut rows_of: Vec<Vec<u32>> = vec![Vec::new(); head.top.templates.len()];
        let mut next = vec![0_u32; places.len()];
        let (mut row, mut line) = (0, 0);
        for (at, wanted) in (0_u32..).zip(&wanted) {
            let end_of_row =
                |row: usize, line: usize| line + lines_of_row.as_ref().map_or(1, |lines| lines[row]);
            while row < *wanted as usize {
                let end = end_of_row(row, line);
                ids[line..end].iter().for_each(|id| next[*id as usize] += 1);
                (row, line) = (row + 1, end);
            }
            let end = end_of_row(row, line);
            for id in &ids[line..end] {
                let id = *id as usize;
                places[id].push(next[id]);
                rows_of[id].push(at);
                next[id] += 1;
            }
            (row, line) = (row + 1, end);
        }
        let mut times: Option<Vec<i64>> = None;
        let mut parts = Vec::with_capacity(places.len());
        for (template, (places, rows_of)) in head.top.templates.iter().zip(places.iter().zip(&rows_of)) {
            if places.is_empty() {
                parts.push(None);
                continue;
            }
            let mut own = None;
            if template.is_relative() {
                let known = match times.take() {
                    Some(times) => times,
                    None => self.times_at(&wanted)?,
                };
                own = Some(rows_of.iter().map(|row| known[*row as usize]).collect::<Vec<_>>());
                times = Some(known);
            }
            parts.push(Some(Parts::read(self, template, own.as_deref(), Some(places))?));
        }
        let mut next = vec![0_usize; parts.len()];
        let mut texts = Texts::with_capacity(wanted.len(), wanted.len() * 128);
        let (mut body, mut row, mut line) = (Vec::new(), 0, 0);
        for wanted in wanted {
            let lines = match &lines_of_row {
                None => wanted as usize..wanted as usize + 1,
                Some(lines) => {
                    line += lines[row..wanted as usize].iter().sum::<usize>();
                    row = wanted as usize;
                    line..line + lines[row]
                }
            };
            body.clear();
            for (at, id) in ids[lines].iter().enumerate() {
                if at > 0 {
                    body.push(b'\n');
                }
                let place = next[*id as usize];
                next[*id as usize] += 1;
                if let Some(parts) = &parts[*id as usize] {
                    parts.write(place, &mut body);
                }
                if texts.all().len() + body.len() > head.text {
                    return Err(bad("more text than the head says"));
                }
            }
            texts.push(&body);
        }
        Ok(texts)
    }

    /// The records' times of these rows.
    fn times_at(&self, rows: &[u32]) -> io::Result<Vec<i64>> {
        let times = (self.records)(Some(rows))?;
        if times.len() == rows.len() { Ok(times) } else { Err(bad("times of another number of rows")) }
    }
}
