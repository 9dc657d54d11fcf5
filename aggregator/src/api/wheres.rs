//! `where=key=value` and a time range against a table's columns, as SQL with parameters.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use store::{Says, Table};

use crate::api::error::ApiError;
use crate::api::params::{Params, Range};

/// The values of one query's parameters, `$1` first.
#[derive(Debug, Default)]
pub(crate) struct Values(pub(crate) Vec<ScalarValue>);

impl Values {
    /// A text's placeholder.
    pub(crate) fn text(&mut self, text: String) -> String {
        self.place(ScalarValue::Utf8(Some(text)))
    }

    fn place(&mut self, value: ScalarValue) -> String {
        self.0.push(value);
        format!("${}", self.0.len())
    }
}

/// `ts` within the range and every column equal to its value: a `WHERE` clause, or nothing.
///
/// # Errors
/// If a key is no column of the table, or a value cannot be compared with it.
pub(crate) fn clause(
    table: Table,
    range: Range,
    wheres: &[(String, String)],
    values: &mut Values,
) -> Result<String, ApiError> {
    let time = |ns| ScalarValue::TimestampNanosecond(Some(ns), Some("UTC".into()));
    let mut conditions = Vec::new();
    if range.from_ns != i64::MIN {
        conditions.push(format!("ts >= {}", values.place(time(range.from_ns))));
    }
    if range.to_ns != i64::MAX {
        conditions.push(format!("ts < {}", values.place(time(range.to_ns))));
    }
    for (key, text) in wheres {
        conditions.push(equals(table, key, text, values)?);
    }
    Ok(if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) })
}

fn equals(table: Table, key: &str, text: &str, values: &mut Values) -> Result<String, ApiError> {
    let schema = table.schema();
    let Ok(field) = schema.field_with_name(key) else {
        let columns = schema.fields().iter().map(|field| field.name().as_str());
        let columns: Vec<_> = columns.filter(|column| *column != "lsn").collect();
        let message = format!("has no column {key:?}; {} has {}", table.name(), columns.join(", "));
        return Err(ApiError::parameter("where", 0, &message));
    };
    let mistake =
        |what: &str| ApiError::parameter("where", key.len() + 1, &format!("compares {key} with {what}"));
    let value = match field.data_type() {
        // An empty text is stored as absent, except where a column is never absent.
        DataType::Utf8 | DataType::Dictionary(_, _) if text.is_empty() => {
            return Ok(format!("coalesce(\"{key}\", '') = ''"));
        }
        DataType::Utf8 | DataType::Dictionary(_, _) => ScalarValue::Utf8(Some(text.to_owned())),
        DataType::Int32 => match text.parse() {
            Ok(number) => ScalarValue::Int32(Some(number)),
            Err(_) => return Err(mistake(&format!("{text:?}, which is no whole number"))),
        },
        DataType::Int64 => match text.parse() {
            Ok(number) => ScalarValue::Int64(Some(number)),
            Err(_) => return Err(mistake(&format!("{text:?}, which is no whole number"))),
        },
        DataType::Boolean => match text {
            "true" => ScalarValue::Boolean(Some(true)),
            "false" => ScalarValue::Boolean(Some(false)),
            _ => return Err(mistake(&format!("{text:?}, which is neither true nor false"))),
        },
        _ => return Err(mistake("a text, and it is neither text nor number")),
    };
    Ok(format!("\"{key}\" = {}", values.place(value)))
}

/// `contains` and `word`: what the texts of a row must have, one of them each.
///
/// # Errors
/// If there is nothing to look for.
pub(crate) fn says(params: &mut Params) -> Result<Vec<Says>, ApiError> {
    let mut all = Vec::new();
    for (name, whole) in [("contains", false), ("word", true)] {
        for text in params.all(name) {
            if text.is_empty() {
                return Err(ApiError::parameter(name, 0, "is empty: there is nothing to look for"));
            }
            all.push(Says { columns: Vec::new(), text, whole });
        }
    }
    Ok(all)
}

/// Those conditions that another table has columns for, too.
pub(crate) fn shared(table: Table, wheres: &[(String, String)]) -> Vec<(String, String)> {
    let schema = table.schema();
    wheres.iter().filter(|(key, _)| schema.field_with_name(key).is_ok()).cloned().collect()
}
