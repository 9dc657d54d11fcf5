//! Which rows of a Parquet file can match: row groups and pages whose statistics rule them out are left out.

use std::ops::Range;

use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::basic::ConvertedType;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;

use crate::Scope;
use crate::scan::{Filter, Test};

/// Ascending ranges of row numbers that do not touch.
pub(super) type Rows = Vec<Range<u32>>;

/// A single range; none if it is empty.
pub(super) fn one(range: Range<u32>) -> Rows {
    std::iter::once(range).filter(|range| !range.is_empty()).collect()
}

/// Both.
pub(super) fn intersect(a: &[Range<u32>], b: &[Range<u32>]) -> Rows {
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    let mut both = Rows::new();
    while let (Some(one), Some(other)) = (left.peek(), right.peek()) {
        let (start, end) = (one.start.max(other.start), one.end.min(other.end));
        if start < end {
            both.push(start..end);
        }
        if one.end < other.end {
            left.next();
        } else {
            right.next();
        }
    }
    both
}

/// Single ascending rows as ranges.
pub(super) fn ranges(rows: &[u32]) -> Rows {
    let mut ranges = Rows::new();
    for row in rows {
        match ranges.last_mut() {
            Some(last) if last.end == *row => last.end += 1,
            _ => ranges.push(*row..row + 1),
        }
    }
    ranges
}

pub(super) fn count(rows: &[Range<u32>]) -> usize {
    rows.iter().map(|range| (range.end - range.start) as usize).sum()
}

/// The ranges as parquet takes them, over a file of `total` rows.
pub(super) fn selection(rows: &[Range<u32>], total: u32) -> RowSelection {
    let mut selectors = Vec::with_capacity(rows.len() * 2 + 1);
    let mut at = 0;
    for range in rows {
        if range.start > at {
            selectors.push(RowSelector::skip((range.start - at) as usize));
        }
        selectors.push(RowSelector::select((range.end - range.start) as usize));
        at = range.end;
    }
    if at < total {
        selectors.push(RowSelector::skip((total - at) as usize));
    }
    selectors.into()
}

/// Rows of the pages that may satisfy time range and conditions.
pub(super) fn possible(metadata: &ParquetMetaData, from_ns: i64, to_ns: i64, filters: &[Filter]) -> Rows {
    let total = u32::try_from(metadata.file_metadata().num_rows()).unwrap_or(u32::MAX);
    let mut rows = one(0..total);
    if from_ns != i64::MIN || to_ns != i64::MAX {
        let in_time = |index: &ColumnIndexMetaData, page: usize| match index {
            ColumnIndexMetaData::INT64(index) => {
                let oldest = index.min_values().get(page).copied();
                let newest = index.max_values().get(page).copied();
                newest.is_none_or(|newest| newest >= from_ns) && oldest.is_none_or(|oldest| oldest < to_ns)
            }
            _ => true,
        };
        rows = intersect(&rows, &of_pages(metadata, "ts", in_time));
    }
    for filter in filters {
        match &filter.test {
            Test::Text(text) if !text.is_empty() => {
                let text = text.as_bytes();
                let may = |index: &ColumnIndexMetaData, page: usize| match index {
                    ColumnIndexMetaData::BYTE_ARRAY(values) => {
                        !index.is_null_page(page)
                            && values.min_value(page).is_none_or(|least| least <= text)
                            && values.max_value(page).is_none_or(|most| text <= most)
                    }
                    _ => true,
                };
                rows = intersect(&rows, &of_pages(metadata, &filter.name, may));
            }
            Test::In(Scope::Namespaces(names)) => {
                let may = |index: &ColumnIndexMetaData, page: usize| match index {
                    ColumnIndexMetaData::BYTE_ARRAY(values) => {
                        let (least, most) = (values.min_value(page), values.max_value(page));
                        let between = |name: &String| {
                            least.is_none_or(|least| least <= name.as_bytes())
                                && most.is_none_or(|most| name.as_bytes() <= most)
                        };
                        !index.is_null_page(page) && names.iter().any(between)
                    }
                    _ => true,
                };
                rows = intersect(&rows, &of_pages(metadata, &filter.name, may));
            }
            Test::Within(from, upto) => {
                let may = |index: &ColumnIndexMetaData, page: usize| match index {
                    ColumnIndexMetaData::INT64(values) => {
                        values.min_value(page).is_none_or(|least| least <= upto)
                            && values.max_value(page).is_none_or(|most| most >= from)
                    }
                    _ => true,
                };
                rows = intersect(&rows, &of_pages(metadata, &filter.name, may));
            }
            Test::Int(value) if !is_coarse(metadata, &filter.name) => {
                let may = |index: &ColumnIndexMetaData, page: usize| match index {
                    ColumnIndexMetaData::INT64(values) => {
                        !index.is_null_page(page)
                            && values.min_value(page).is_none_or(|least| least <= value)
                            && values.max_value(page).is_none_or(|most| value <= most)
                    }
                    _ => true,
                };
                rows = intersect(&rows, &of_pages(metadata, &filter.name, may));
            }
            _ => {}
        }
    }
    rows
}

/// Whether a file keeps a time in milliseconds, which scans yield and compare in nanoseconds.
fn is_coarse(metadata: &ParquetMetaData, column: &str) -> bool {
    let columns = metadata.file_metadata().schema_descr().columns();
    let leaf = columns.iter().find(|leaf| leaf.path().string() == column);
    leaf.is_some_and(|leaf| leaf.converted_type() == ConvertedType::TIMESTAMP_MILLIS)
}

/// Rows of the pages of a column that `may` match; all rows where nothing is known.
fn of_pages(
    metadata: &ParquetMetaData,
    column: &str,
    may: impl Fn(&ColumnIndexMetaData, usize) -> bool,
) -> Rows {
    let total = u32::try_from(metadata.file_metadata().num_rows()).unwrap_or(u32::MAX);
    let all = one(0..total);
    let schema = metadata.file_metadata().schema_descr();
    let Some(leaf) = schema.columns().iter().position(|leaf| leaf.path().string() == column) else {
        return all;
    };
    let (Some(indexes), Some(offsets)) = (metadata.column_index(), metadata.offset_index()) else {
        return all;
    };
    let mut rows = Rows::new();
    let mut group_start = 0_u32;
    for (group, row_group) in metadata.row_groups().iter().enumerate() {
        let group_end = group_start + u32::try_from(row_group.num_rows()).unwrap_or(0);
        let index = indexes.get(group).and_then(|columns| columns.get(leaf));
        let pages = offsets.get(group).and_then(|columns| columns.get(leaf));
        let (Some(index), Some(pages)) = (index, pages) else { return all };
        let starts: Vec<u32> = pages
            .page_locations()
            .iter()
            .map(|page| group_start + u32::try_from(page.first_row_index).unwrap_or(0))
            .collect();
        for (page, start) in starts.iter().enumerate() {
            let end = starts.get(page + 1).copied().unwrap_or(group_end);
            if may(index, page) {
                match rows.last_mut() {
                    Some(last) if last.end == *start => last.end = end,
                    _ => rows.push(*start..end),
                }
            }
        }
        group_start = group_end;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::{count, intersect, ranges};

    #[test]
    fn ranges_meet() {
        assert_eq!(intersect(&[0..10, 20..30], &[5..25, 29..40]), [5..10, 20..25, 29..30]);
        assert_eq!(ranges(&[1, 2, 3, 7, 9, 10]), [1..4, 7..8, 9..11]);
        assert_eq!(count(&[1..4, 7..8]), 4);
    }
}
