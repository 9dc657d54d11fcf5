//! Which part of a filter the store answers itself, and whether exactly.
//!
//! Pure: expressions in, a request's parts out. Exact parts are not checked again, so only what the store promises to
//! the byte is exact: time ranges, equality of string and integer columns, substrings and expressions on `log.body`.
//! Everything else DataFusion filters. SQL sees a body with U+FFFD for what is not UTF-8: a text with that is none of the
//! bytes that the store has, so it is looked for here.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Like, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use store::{Says, Table};

use crate::query::words;

#[cfg(test)]
mod tests;

/// One part of a request to the store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    /// `ts >= ns`
    From(i64),
    /// `ts < ns`
    To(i64),
    /// `column = value`
    Equals(String, String),
    /// `column BETWEEN first AND second`
    Within(String, i64, i64),
    /// `body` contains every one of these.
    Contains(Vec<String>),
    /// `body` does not contain this.
    Excludes(String),
    /// `body` matches this.
    Regex(String),
    /// `body` contains this as a whole word.
    Word(String),
    /// One of some columns of another table has a text.
    Says(Says),
    /// No row can match.
    Nothing,
}

/// What the store makes of one filter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pushed {
    pub(crate) parts: Vec<Part>,
    /// Nothing is left to filter.
    pub(crate) is_exact: bool,
}

fn exact(part: Part) -> Option<Pushed> {
    Some(Pushed { parts: vec![part], is_exact: true })
}

/// The part of this filter that the store answers, if any.
pub(crate) fn push(table: Table, filter: &Expr) -> Option<Pushed> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            match (push(table, left), push(table, right)) {
                (Some(left), Some(right)) => Some(Pushed {
                    parts: left.parts.into_iter().chain(right.parts).collect(),
                    is_exact: left.is_exact && right.is_exact,
                }),
                (Some(one), None) | (None, Some(one)) => Some(Pushed { is_exact: false, ..one }),
                (None, None) => None,
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (left.as_ref(), right.as_ref()) {
            (subject, Expr::Literal(value, _)) => compare(table, subject, *op, value),
            (Expr::Literal(value, _), subject) => compare(table, subject, op.swap()?, value),
            _ => None,
        },
        Expr::Between(between) if !between.negated => match (between.low.as_ref(), between.high.as_ref()) {
            (Expr::Literal(low, _), Expr::Literal(high, _)) => {
                let low = compare(table, &between.expr, Operator::GtEq, low)?;
                let high = compare(table, &between.expr, Operator::LtEq, high)?;
                let is_exact = low.is_exact && high.is_exact;
                Some(Pushed { parts: low.parts.into_iter().chain(high.parts).collect(), is_exact })
            }
            _ => None,
        },
        Expr::Like(like) if is_body(table, &like.expr) => push_like(like),
        Expr::ScalarFunction(function) => push_function(table, function),
        Expr::Not(inner) => match push(table, inner)? {
            Pushed { parts, is_exact: true } => match parts.as_slice() {
                [Part::Contains(needles)] => match needles.as_slice() {
                    [needle] => exact(Part::Excludes(needle.clone())),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn is_body(table: Table, expr: &Expr) -> bool {
    table == Table::Log && matches!(expr, Expr::Column(column) if column.name == "body")
}

/// A literal text; `None` for null and for what is no text.
fn text(value: &ScalarValue) -> Option<&str> {
    value.try_as_str().flatten()
}

fn literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => text(value),
        _ => None,
    }
}

fn compare(table: Table, subject: &Expr, op: Operator, value: &ScalarValue) -> Option<Pushed> {
    match subject {
        Expr::Column(column) if column.name == "ts" => compare_time(op, value),
        Expr::Column(_) if is_body(table, subject) => match op {
            Operator::RegexMatch => exact(Part::Regex(text(value)?.to_owned())),
            Operator::RegexIMatch => exact(any_case(text(value)?)),
            _ => None,
        },
        Expr::Column(column) if op == Operator::Eq => {
            let schema = table.schema();
            let found = equal_text(schema.field_with_name(&column.name).ok()?.data_type(), value)?;
            exact(Part::Equals(column.name.clone(), found))
        }
        Expr::Column(column) if table != Table::Log => compare_number(table, &column.name, op, value),
        Expr::ScalarFunction(function) if op == Operator::Eq && function.name() == "get_field" => {
            let [Expr::Column(column), key] = function.args.as_slice() else { return None };
            let (key, value) = (literal(key)?, text(value)?);
            // an absent key is null, which equals nothing; to the store it is ''
            let is_kept = column.name == "attributes" && !value.is_empty();
            let schema = table.schema();
            let is_map = matches!(schema.field_with_name(&column.name).ok()?.data_type(), DataType::Map(..));
            if is_kept && is_map {
                exact(Part::Equals(format!("attributes.{key}"), value.to_owned()))
            } else {
                None
            }
        }
        Expr::ScalarFunction(function) if function.name() == "strpos" => {
            let needle = needle(table, function)?;
            let bound = integer(value)?;
            match (op, bound) {
                (Operator::Gt | Operator::NotEq, 0) | (Operator::GtEq, 1) => {
                    exact(Part::Contains(vec![needle.to_owned()]))
                }
                (Operator::Eq | Operator::LtEq, 0) | (Operator::Lt, 1) => {
                    exact(Part::Excludes(needle.to_owned()))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// A bound of a column of whole numbers that is never null.
fn compare_number(table: Table, column: &str, op: Operator, value: &ScalarValue) -> Option<Pushed> {
    let schema = table.schema();
    let field = schema.field_with_name(column).ok()?;
    let ScalarValue::Int64(Some(number)) = value else { return None };
    if field.data_type() != &DataType::Int64 || field.is_nullable() {
        return None;
    }
    let (from, upto) = match op {
        Operator::Gt => (number.checked_add(1)?, i64::MAX),
        Operator::GtEq => (*number, i64::MAX),
        Operator::Lt => (i64::MIN, number.checked_sub(1)?),
        Operator::LtEq => (i64::MIN, *number),
        _ => return None,
    };
    exact(Part::Within(column.to_owned(), from, upto))
}

fn compare_time(op: Operator, value: &ScalarValue) -> Option<Pushed> {
    let ScalarValue::TimestampNanosecond(Some(ns), _) = value else { return None };
    // Nothing lies beyond the last nanosecond.
    let after = ns.checked_add(1);
    match op {
        Operator::GtEq => exact(Part::From(*ns)),
        Operator::Gt => exact(after.map_or(Part::Nothing, Part::From)),
        Operator::Lt => exact(Part::To(*ns)),
        Operator::LtEq => after.and_then(|after| exact(Part::To(after))),
        Operator::Eq => {
            after.map(|after| Pushed { parts: vec![Part::From(*ns), Part::To(after)], is_exact: true })
        }
        _ => None,
    }
}

/// The text that the store compares a column of this type with. An empty text is stored as null, which equals nothing.
fn equal_text(column: &DataType, value: &ScalarValue) -> Option<String> {
    match column {
        DataType::Utf8 | DataType::Dictionary(_, _) => {
            text(value).filter(|text| !text.is_empty()).map(str::to_owned)
        }
        DataType::Int32 | DataType::Int64 => integer(value).map(|number| number.to_string()),
        _ => None,
    }
}

fn integer(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Int64(number) => *number,
        ScalarValue::Int32(number) => number.map(i64::from),
        _ => None,
    }
}

fn push_function(table: Table, function: &ScalarFunction) -> Option<Pushed> {
    match function.name() {
        "contains" => exact(Part::Contains(vec![needle(table, function)?.to_owned()])),
        // with a flag DataFusion makes an operator of it
        "regexp_like" => exact(Part::Regex(needle(table, function)?.to_owned())),
        name if words::is_whole(name).is_some() => push_has(table, function, words::is_whole(name)?),
        "starts_with" | "ends_with" => {
            let parts = vec![Part::Contains(vec![needle(table, function)?.to_owned()])];
            Some(Pushed { parts, is_exact: false })
        }
        _ => None,
    }
}

/// An expression, letters of either case alike.
fn any_case(pattern: &str) -> Part {
    Part::Regex(format!("(?i){pattern}"))
}

/// `has_word` and `has_text` of columns that the store searches. In a body as it is stored there is no U+FFFD.
fn push_has(table: Table, function: &ScalarFunction, whole: bool) -> Option<Pushed> {
    let (wanted, texts) = function.args.split_last()?;
    let text = literal(wanted).filter(|text| !text.is_empty())?.to_owned();
    if let [subject] = texts
        && is_body(table, subject)
    {
        let is_kept = !text.contains(char::REPLACEMENT_CHARACTER);
        let part = if whole { Part::Word(text) } else { Part::Contains(vec![text]) };
        return if is_kept { exact(part) } else { None };
    }
    let schema = table.schema();
    let column = |expr: &Expr| match expr {
        Expr::Column(column) if table != Table::Log => {
            let field = schema.field_with_name(&column.name).ok()?;
            Says::reads(field.data_type()).then(|| column.name.clone())
        }
        _ => None,
    };
    let columns: Vec<String> = texts.iter().map(column).collect::<Option<_>>()?;
    if columns.is_empty() { None } else { exact(Part::Says(Says { columns, text, whole })) }
}

/// The literal second argument of `f(body, 'text')`; an empty one finds everything and is left to DataFusion.
fn needle(table: Table, function: &ScalarFunction) -> Option<&str> {
    match function.args.as_slice() {
        [subject, needle] if is_body(table, subject) => {
            literal(needle).filter(|needle| !needle.is_empty() && is_stored(function.name(), needle))
        }
        _ => None,
    }
}

/// Whether a text is in the bytes of a body if it is in its text. The store looks for expressions in the text.
fn is_stored(function: &str, needle: &str) -> bool {
    function == "regexp_like" || !needle.contains(char::REPLACEMENT_CHARACTER)
}

fn push_like(like: &Like) -> Option<Pushed> {
    if like.escape_char.is_some_and(|escape| escape != '\\') {
        return None;
    }
    let pieces = pieces(literal(&like.pattern)?)?;
    let needles: Vec<String> = pieces.iter().filter(|piece| !piece.is_empty()).cloned().collect();
    if needles.is_empty() || needles.iter().any(|needle| needle.contains(char::REPLACEMENT_CHARACTER)) {
        return None;
    }
    let is_contains = pieces.len() == 3 && pieces[0].is_empty() && pieces[2].is_empty();
    match (like.negated, like.case_insensitive) {
        (false, false) => Some(Pushed { parts: vec![Part::Contains(needles)], is_exact: is_contains }),
        (true, false) if is_contains => exact(Part::Excludes(needles.into_iter().next()?)),
        (false, true) => {
            let patterns = needles.iter().map(|needle| any_case(&regex::escape(needle)));
            Some(Pushed { parts: patterns.collect(), is_exact: false })
        }
        _ => None,
    }
}

/// The literal pieces between a pattern's `%`; `None` where it has `_`, which stands for one character.
fn pieces(pattern: &str) -> Option<Vec<String>> {
    let mut pieces = vec![String::new()];
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '%' => {
                pieces.push(String::new());
                continue;
            }
            '_' => return None,
            '\\' => {
                let escaped = letters.next()?;
                pieces.last_mut()?.push(escaped);
            }
            other => pieces.last_mut()?.push(other),
        }
    }
    Some(pieces)
}
