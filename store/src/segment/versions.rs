//! The versions of a segment's log rows, from the columns that say them.

use std::io;
use std::ops::Range;

use arrow::array::{Array as _, AsArray as _, MapArray, RecordBatch};
use arrow::datatypes::{Int32Type, Schema};

use super::pages::one;
use super::rows::read;
use super::{ColumnsFile, Version, Versions, bad};
use crate::Table;
use crate::rows::{VERSION_ATTRIBUTE, VersionNames};

/// Rows that are read at once.
const BATCH: usize = 8_192;
/// What [`VersionNames`] are made of, and the attributes.
const COLUMNS: [&str; 5] = ["labels", "workload_kind", "workload", "pod", "attributes"];

/// The version of each of these rows.
pub(crate) fn versions(
    file: &ColumnsFile,
    rows: Range<u32>,
    found: &mut Versions,
) -> io::Result<Vec<Version>> {
    let all = Table::Log.file_schema();
    let fields = COLUMNS.map(|name| all.field_with_name(name).cloned());
    let schema = Schema::new(fields.into_iter().collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?);
    let mut versions = Vec::with_capacity(rows.len());
    for batch in read(file, &one(rows), &schema, BATCH)? {
        of_batch(&batch.map_err(io::Error::other)?, found, &mut versions)?;
    }
    Ok(versions)
}

fn of_batch(batch: &RecordBatch, found: &mut Versions, versions: &mut Vec<Version>) -> io::Result<()> {
    let texts = |name: &str| {
        let column = batch.column_by_name(name)?.as_dictionary_opt::<Int32Type>()?;
        Some((column, column.values().as_string_opt::<i32>()?))
    };
    // a column that was added later may be missing
    let columns = [COLUMNS[0], COLUMNS[1], COLUMNS[2], COLUMNS[3]].map(texts);
    let attributes = batch.column_by_name(COLUMNS[4]).and_then(|column| column.as_map_opt());
    let text = |column: usize, row: usize| {
        let (column, values) = columns[column]?;
        Some(values.value(column.key(row)?))
    };
    // rows of a pod come one after the other
    let mut last: Option<([Option<&str>; 4], &str, Version)> = None;
    for row in 0..batch.num_rows() {
        let names = [0, 1, 2, 3].map(|column| text(column, row));
        let attribute = match attributes {
            Some(attributes) => attribute(attributes, row)?,
            None => "",
        };
        let version = match last {
            Some((known, of, version)) if known == names && of == attribute => version,
            _ => {
                let [labels, kind, workload, pod] = names.map(Option::unwrap_or_default);
                found.place(VersionNames { labels, kind, workload, pod }.version(attribute))
            }
        };
        last = Some((names, attribute, version));
        versions.push(version);
    }
    Ok(())
}

/// The attribute that names the version, '' without it.
fn attribute(attributes: &MapArray, row: usize) -> io::Result<&str> {
    let offsets = attributes.value_offsets();
    let texts = |column: &'_ arrow::array::ArrayRef| column.as_string_opt::<i32>().is_some();
    if !texts(attributes.keys()) || !texts(attributes.values()) {
        return Err(bad("attributes are no texts"));
    }
    let (keys, values) = (attributes.keys().as_string::<i32>(), attributes.values().as_string::<i32>());
    let range = usize::try_from(offsets[row]).unwrap_or(0)..usize::try_from(offsets[row + 1]).unwrap_or(0);
    let found = range.into_iter().find(|at| keys.value(*at) == VERSION_ATTRIBUTE && values.is_valid(*at));
    Ok(found.map_or("", |at| values.value(at)))
}
