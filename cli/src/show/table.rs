//! Columns that line up, cut to the width of the terminal.

use crate::out::{Out, Tone};

/// How a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// One cell.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

/// A cell in the usual colour.
pub(crate) fn cell(text: impl Into<String>) -> Cell {
    toned(text, Tone::Plain)
}

/// A cell with a meaning.
pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Cell {
    Cell { text: clean(&text.into()).replace('\t', " "), tone }
}

/// A number with its unit, or `-` where it could not be read: absent is not zero.
pub(crate) fn value(number: Option<f64>, unit: fn(f64) -> String) -> Cell {
    match number {
        Some(number) => cell(unit(number)),
        None => toned("-", Tone::Dim),
    }
}

/// A count that is bad if it is not zero.
pub(crate) fn bad_if_any(number: Option<f64>) -> Cell {
    match number {
        Some(number) if number > 0.0 => toned(super::units::count(number), Tone::Bad),
        number => value(number, super::units::count),
    }
}

/// What comes from workloads must not move the cursor: in lines of the log a tab may stay, in a cell it may not.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// Head and rows as lines; a wide left column gives way where the terminal is narrow.
pub(crate) fn render(out: &Out, head: &[(&str, Align)], rows: &[Vec<Cell>]) -> Vec<String> {
    let mut widths: Vec<usize> = head.iter().map(|(name, _)| name.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.text.chars().count());
        }
    }
    let mut is_cut = false;
    if let Some((columns, _)) = out.size() {
        shrink(&mut widths, head, columns);
        is_cut = leave_out(&mut widths, columns);
    }
    let mut lines = Vec::with_capacity(rows.len() + 1);
    let names: Vec<Cell> = head.iter().map(|(name, _)| toned(*name, Tone::Head)).collect();
    for row in std::iter::once(&names).chain(rows) {
        let mut line = String::new();
        let last = head.len().min(row.len()).saturating_sub(1);
        for (index, ((cell, width), (_, align))) in row.iter().zip(&widths).zip(head).enumerate() {
            if index > 0 {
                line.push_str("  ");
            }
            let text = cut(&cell.text, *width);
            let space = " ".repeat(width - text.chars().count());
            let painted = out.paint(cell.tone, &text);
            match align {
                Align::Right => line.push_str(&format!("{space}{painted}")),
                Align::Left if index == last => line.push_str(&painted),
                Align::Left => line.push_str(&format!("{painted}{space}")),
            }
        }
        if is_cut && lines.is_empty() {
            line.push_str(" …");
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// Columns at the right that a narrow terminal has no room for go, all but the first; whether any did.
fn leave_out(widths: &mut Vec<usize>, columns: usize) -> bool {
    let total = |widths: &[usize]| widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
    let is_cut = total(widths) > columns;
    // room for the mark that something is missing
    while is_cut && widths.len() > 1 && total(widths) + 2 > columns {
        widths.pop();
    }
    is_cut
}

/// Takes what is too wide from the widest left column, down to 12.
fn shrink(widths: &mut [usize], head: &[(&str, Align)], columns: usize) {
    loop {
        let total = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
        if total <= columns {
            return;
        }
        let widest = (0..widths.len())
            .filter(|index| head[*index].1 == Align::Left && widths[*index] > 12)
            .max_by_key(|index| widths[*index]);
        let Some(widest) = widest else { return };
        widths[widest] = widths[widest].saturating_sub(total - columns).max(12);
    }
}

/// The end says more than the beginning in paths and unit names, so the middle goes.
fn cut(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let tail = width / 2;
    let head = width.saturating_sub(tail + 1);
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(length - tail).collect();
    format!("{start}…{end}")
}

#[cfg(test)]
mod tests {
    use super::{Align, cell, cut, leave_out, render, shrink};
    use crate::args::Output;
    use crate::out::Out;

    #[test]
    fn columns_line_up() {
        let out = Out::new(Output::Json);
        let head = [("NAME", Align::Left), ("N", Align::Right)];
        let rows = [vec![cell("a"), cell("10")], vec![cell("long\x1bname"), cell("2")]];
        assert_eq!(render(&out, &head, &rows), ["NAME        N", "a          10", "long\u{fffd}name   2"]);
    }

    #[test]
    fn a_narrow_terminal_takes_from_the_widest_left_column() {
        let mut widths = [40, 6];
        shrink(&mut widths, &[("A", Align::Left), ("B", Align::Right)], 30);
        assert_eq!(widths, [22, 6]);
        let mut widths = vec![12, 6, 6, 6];
        assert!(leave_out(&mut widths, 30));
        assert_eq!(widths, [12, 6, 6], "12 + 2 + 6 + 2 + 6 and the mark");
        assert!(!leave_out(&mut widths, 28));
        assert!(leave_out(&mut widths, 5));
        assert_eq!(widths, [12]);
        assert_eq!(cut("system.slice/cron.service", 12), "syste…ervice");
    }
}
