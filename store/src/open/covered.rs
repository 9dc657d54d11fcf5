//! Rows of the WAL that a segment has already, though no record says up to where its table is sealed.

use arrow::array::BooleanArray;
use arrow::compute::filter;
use arrow::datatypes::TimestampNanosecondType;
use proto::error::ErrorCode;

use crate::batch::Admitted;
use crate::catalog::Covered;
use crate::rows::{LogRows, TableRows};
use crate::{Refused, Table};

/// The batch at this lsn without rows that are in segments.
pub(super) fn leave_out(mut admitted: Admitted, lsn: i64, covered: &[Covered]) -> Result<Admitted, Refused> {
    let last = lsn.saturating_add(admitted.places);
    let near = |table: Table| -> Vec<&Covered> {
        let meets = |covered: &&Covered| {
            covered.table == table.name() && covered.max_lsn >= lsn && covered.min_lsn <= last
        };
        covered.iter().filter(meets).collect()
    };
    let of_log = near(Table::Log);
    if !of_log.is_empty() {
        admitted.logs = admitted.logs.iter().map(|rows| logs(rows, lsn, &of_log)).collect();
        admitted.logs.retain(|rows| rows.len() > 0);
    }
    for (table, rows) in &mut admitted.tables {
        let of_table = near(*table);
        if !of_table.is_empty() {
            tables(rows, lsn, &of_table).map_err(|error| Refused {
                code: ErrorCode::Internal,
                detail: format!("columns of {}: {error}", table.name()),
                retry_after_ms: 0,
            })?;
        }
    }
    admitted.tables.retain(|(_, rows)| rows.rows() > 0);
    Ok(admitted)
}

fn is_covered(covered: &[&Covered], ts: i64, lsn: i64) -> bool {
    covered.iter().any(|range| {
        (range.from_ts..range.to_ts).contains(&ts) && (range.min_lsn..=range.max_lsn).contains(&lsn)
    })
}

fn logs(rows: &LogRows, lsn: i64, covered: &[&Covered]) -> LogRows {
    let stays = |row: &usize| !is_covered(covered, rows.ts[*row], lsn + rows.lsn[*row]);
    let kept: Vec<u32> =
        (0..rows.len()).filter(stays).map(|row| u32::try_from(row).unwrap_or(u32::MAX)).collect();
    rows.some(&kept)
}

fn tables(rows: &mut TableRows, lsn: i64, covered: &[&Covered]) -> Result<(), arrow::error::ArrowError> {
    use arrow::array::AsArray as _;
    let Some(ts) = rows.columns.first().and_then(|ts| ts.as_primitive_opt::<TimestampNanosecondType>())
    else {
        return Ok(());
    };
    let stays: Vec<bool> = ts
        .values()
        .iter()
        .zip(&rows.places)
        .map(|(ts, place)| !is_covered(covered, *ts, lsn + place))
        .collect();
    let mut kept = stays.iter();
    rows.places.retain(|_| kept.next().copied().unwrap_or(true));
    let stays = BooleanArray::from(stays);
    for column in &mut rows.columns {
        *column = filter(column, &stays)?;
    }
    Ok(())
}
