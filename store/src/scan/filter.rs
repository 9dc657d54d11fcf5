//! Conditions on columns: a column equals a value that was given as text.

use arrow::array::{Array, AsArray as _, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, Schema, TimestampNanosecondType};

use super::says::Needle;
use crate::{ScanError, Scope};

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Filter {
    /// The column's position in what is read.
    pub(crate) column: usize,
    pub(crate) name: String,
    pub(crate) test: Test,
}

/// What a column is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    /// '' is absent.
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// A key of a map.
    Entry(String, String),
    Absent,
    /// One of the namespaces that may be seen.
    In(Scope),
    /// A number from the first to the second, both included.
    Within(i64, i64),
    /// A text has this.
    Says(Needle),
    /// One of these conditions, each on a column of its own, holds.
    Any(Vec<Filter>),
}

impl Filter {
    /// A condition on a column of `schema`, or on a key of `attributes` as `attributes.KEY`.
    pub(crate) fn new(schema: &Schema, name: &str, value: &str) -> Result<Self, ScanError> {
        if let Some(key) = name.strip_prefix("attributes.")
            && let Ok(column) = schema.index_of("attributes")
        {
            let test = Test::Entry(key.to_owned(), value.to_owned());
            return Ok(Self { column, name: "attributes".to_owned(), test });
        }
        let column = schema.index_of(name).map_err(|_error| ScanError::UnknownColumn(name.to_owned()))?;
        let field = schema.field(column);
        let incomparable = || ScanError::Incomparable { column: name.to_owned(), value: value.to_owned() };
        let text = matches!(field.data_type(), DataType::Utf8 | DataType::Binary | DataType::Dictionary(..));
        let test = match field.data_type() {
            _ if text => Test::Text(value.to_owned()),
            _ if value.is_empty() && field.is_nullable() => Test::Absent,
            DataType::Int32 | DataType::Int64 | DataType::Timestamp(..) => {
                Test::Int(value.parse().map_err(|_error| incomparable())?)
            }
            DataType::Float64 => Test::Float(value.parse().map_err(|_error| incomparable())?),
            DataType::Boolean => Test::Bool(value.parse().map_err(|_error| incomparable())?),
            _ => return Err(incomparable()),
        };
        Ok(Self { column, name: name.to_owned(), test })
    }

    /// The condition that a scope is; `None` where everything may be seen.
    pub(crate) fn of_scope(schema: &Schema, scope: &Scope) -> Result<Option<Self>, ScanError> {
        if scope.is_all() {
            return Ok(None);
        }
        let name = "namespace";
        let column = schema.index_of(name).map_err(|_error| ScanError::UnknownColumn(name.to_owned()))?;
        Ok(Some(Self { column, name: name.to_owned(), test: Test::In(scope.clone()) }))
    }

    /// A range of a column of whole numbers, such as positions, which is never absent.
    pub(crate) fn within(schema: &Schema, name: &str, (from, upto): (i64, i64)) -> Result<Self, ScanError> {
        let column = schema.index_of(name).map_err(|_error| ScanError::UnknownColumn(name.to_owned()))?;
        let field = schema.field(column);
        if field.data_type() != &DataType::Int64 || field.is_nullable() {
            let value = format!("{from} to {upto}");
            return Err(ScanError::Incomparable { column: name.to_owned(), value });
        }
        Ok(Self { column, name: name.to_owned(), test: Test::Within(from, upto) })
    }

    /// The columns that it looks at.
    pub(crate) fn columns(&self) -> Vec<usize> {
        match &self.test {
            Test::Any(any) => any.iter().map(|filter| filter.column).collect(),
            _ => vec![self.column],
        }
    }

    /// The same condition where columns have other places.
    pub(crate) fn moved<E>(&mut self, place: &impl Fn(&Self) -> Result<usize, E>) -> Result<(), E> {
        match &mut self.test {
            Test::Any(any) => {
                any.iter_mut().try_for_each(|filter| filter.moved(place))?;
                self.column = any.first().map_or(0, |filter| filter.column);
            }
            _ => self.column = place(self)?,
        }
        Ok(())
    }

    /// Whether a row whose column has this text may pass.
    pub(crate) fn may_be(&self, text: &str) -> bool {
        match &self.test {
            Test::Text(wanted) => wanted == text,
            Test::In(scope) => scope.allows(text),
            _ => true,
        }
    }

    /// Which rows pass.
    pub(crate) fn passes(&self, batch: &RecordBatch) -> BooleanBuffer {
        let array = batch.column(self.column);
        let rows = array.len();
        match &self.test {
            Test::Absent => match array.logical_nulls() {
                Some(nulls) => !nulls.inner(),
                None => BooleanBuffer::new_unset(rows),
            },
            Test::Text(text) => texts(array, &|found| found == text.as_bytes()),
            Test::In(scope) => {
                texts(array, &|found| std::str::from_utf8(found).is_ok_and(|text| scope.allows(text)))
            }
            Test::Int(value) => equals_int(array, *value),
            Test::Within(from, upto) => {
                let array = array.as_primitive::<Int64Type>();
                BooleanBuffer::collect_bool(rows, |row| {
                    (*from <= array.value(row)) & (array.value(row) <= *upto)
                })
            }
            Test::Float(value) => {
                let array = array.as_primitive::<Float64Type>();
                BooleanBuffer::collect_bool(rows, |row| array.is_valid(row) && array.value(row) == *value)
            }
            Test::Bool(value) => {
                let array = array.as_boolean();
                BooleanBuffer::collect_bool(rows, |row| array.is_valid(row) && array.value(row) == *value)
            }
            Test::Entry(key, value) => has_entry(array, key, value),
            Test::Says(needle) => needle.rows(array),
            Test::Any(any) => {
                let passing = any.iter().map(|filter| filter.passes(batch));
                passing.reduce(|one, other| &one | &other).unwrap_or_else(|| BooleanBuffer::new_unset(rows))
            }
        }
    }
}

/// Which rows pass everything; `None` where there is nothing to check.
pub(crate) fn mask(
    batch: &RecordBatch,
    from_ns: i64,
    to_ns: i64,
    filters: &[Filter],
) -> Option<BooleanArray> {
    let mut passing: Option<BooleanBuffer> = None;
    let mut also = |more: BooleanBuffer| {
        passing = Some(match passing.take() {
            Some(before) => &before & &more,
            None => more,
        });
    };
    if (from_ns != i64::MIN || to_ns != i64::MAX)
        && let Some(ts) = batch.column_by_name("ts")
    {
        let ts = ts.as_primitive::<TimestampNanosecondType>().values();
        also(BooleanBuffer::collect_bool(ts.len(), |row| ts[row] >= from_ns && ts[row] < to_ns));
    }
    filters.iter().for_each(|filter| also(filter.passes(batch)));
    passing.map(|passing| BooleanArray::new(passing, None))
}

/// Which rows have a text that passes; what is absent is ''.
fn texts(array: &dyn Array, passes: &impl Fn(&[u8]) -> bool) -> BooleanBuffer {
    let rows = array.len();
    match array.data_type() {
        DataType::Dictionary(..) => {
            let Some(array) = array.as_dictionary_opt::<Int32Type>() else {
                return BooleanBuffer::new_unset(rows);
            };
            let values = texts(array.values(), passes);
            let (keys, absent) = (array.keys(), passes(b""));
            BooleanBuffer::collect_bool(rows, |row| match keys.is_valid(row) {
                true => usize::try_from(keys.value(row)).is_ok_and(|key| values.value(key)),
                false => absent,
            })
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            BooleanBuffer::collect_bool(rows, |row| passes(array.value(row)))
        }
        _ => {
            let (array, absent) = (array.as_string::<i32>(), passes(b""));
            BooleanBuffer::collect_bool(rows, |row| match array.is_valid(row) {
                true => passes(array.value(row).as_bytes()),
                false => absent,
            })
        }
    }
}

fn equals_int(array: &dyn Array, value: i64) -> BooleanBuffer {
    let rows = array.len();
    match array.data_type() {
        DataType::Int32 => {
            let array = array.as_primitive::<Int32Type>();
            BooleanBuffer::collect_bool(rows, |row| {
                array.is_valid(row) && i64::from(array.value(row)) == value
            })
        }
        DataType::Int64 => {
            let array = array.as_primitive::<Int64Type>();
            BooleanBuffer::collect_bool(rows, |row| array.is_valid(row) && array.value(row) == value)
        }
        _ => {
            let array = array.as_primitive::<TimestampNanosecondType>();
            BooleanBuffer::collect_bool(rows, |row| array.is_valid(row) && array.value(row) == value)
        }
    }
}

fn has_entry(array: &dyn Array, key: &str, value: &str) -> BooleanBuffer {
    let map = array.as_map();
    let keys = map.keys().as_string::<i32>();
    let values = map.values().as_string::<i32>();
    let offsets = map.value_offsets();
    BooleanBuffer::collect_bool(map.len(), |row| {
        let entries =
            usize::try_from(offsets[row]).unwrap_or(0)..usize::try_from(offsets[row + 1]).unwrap_or(0);
        let mut found = entries.filter(|entry| keys.value(*entry) == key);
        match found.next() {
            Some(entry) => values.value(entry) == value,
            None => value.is_empty(),
        }
    })
}
