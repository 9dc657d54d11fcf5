//! How much a call can make, from its arguments: never less than it will, often more.

use arrow::array::{Array, ArrayRef, AsArray as _};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

/// How much a function makes, of its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Makes {
    /// The first argument so many times as the second says.
    Times,
    /// So many letters or items as the second says.
    Length,
    /// Every number from the first to the second.
    Span,
    /// The first, with the third in the place of each second.
    Replaced,
    /// The first, with the third in the place of what matches.
    Matched,
    /// The first, with a letter of the third in the place of each of its own; such a letter may have any length, since
    /// marks belong to the one before them.
    Translated,
    /// The first, once for each group of the second.
    Groups,
    /// The first, with what else is given beside each of its items.
    Joined,
    /// All arguments, the first between them.
    Between,
    /// What is given, written out.
    Written,
    /// What is given, in another order or case.
    Inputs,
}

impl Makes {
    pub(super) fn of(function: &str) -> Self {
        match function {
            "repeat" | "array_repeat" => Self::Times,
            "lpad" | "rpad" | "array_resize" | "space" => Self::Length,
            "range" | "generate_series" => Self::Span,
            "replace" => Self::Replaced,
            "regexp_replace" => Self::Matched,
            "translate" => Self::Translated,
            "regexp_match" => Self::Groups,
            "array_to_string" | "array_replace" | "array_replace_n" | "array_replace_all"
            | "string_to_array" => Self::Joined,
            "concat_ws" => Self::Between,
            "to_char" => Self::Written,
            _ => Self::Inputs,
        }
    }
}

/// No less than what the call will make, bytes.
pub(super) fn estimate(makes: Makes, arguments: &ScalarFunctionArgs) -> u128 {
    let given = &arguments.args;
    let rows = arguments.number_rows.max(1) as u128;
    let total = |at: usize| given.get(at).map_or(0, |value| sum(value, rows));
    let unit = |at: usize| given.get(at).map_or(1, widest).max(1);
    let all = || given.iter().map(|value| bytes(value, rows)).sum::<u128>();
    let first = || given.first().map_or(0, |value| bytes(value, rows));
    let kind = arguments.return_field.data_type();
    match makes {
        _ if kind.is_primitive() || kind == &DataType::Boolean => 16 * rows,
        Makes::Times => unit(0) * total(1),
        // a letter has up to four bytes, an item of a list eight or more
        Makes::Length => first() + unit(2).max(8) * total(1),
        Makes::Span => 8 * rows * steps(given),
        Makes::Replaced => {
            let least = given.get(1).map_or(0, narrowest);
            // an empty text is found beside each letter
            let places = first() / least.max(1) + if least == 0 { rows } else { 0 };
            first() + places * unit(2)
        }
        Makes::Matched => {
            let refers = given.get(2).is_none_or(|value| !plain_replacement(value));
            let everywhere = given.len() > 3;
            match (refers, everywhere) {
                (false, false) => first() + rows * unit(2),
                // each letter may match, and each reference bring the whole text
                (true, false) => first() * unit(2),
                (_, true) => (first() + rows) * (1 + unit(2)),
            }
        }
        Makes::Translated => first() * (1 + unit(2)),
        // each group needs a bracket, and one within the other finds the same text
        Makes::Groups => first() * (1 + unit(1)),
        Makes::Joined => {
            let beside: u128 = (1..given.len()).map(unit).sum();
            8 * first() + items(given.first(), rows) * beside
        }
        Makes::Between => all() + unit(0) * rows * given.len() as u128,
        Makes::Written => 16 * all(),
        Makes::Inputs => 3 * all(),
    }
}

/// A replacement without references to what was matched.
fn plain_replacement(value: &ColumnarValue) -> bool {
    match value {
        ColumnarValue::Scalar(scalar) => {
            scalar.try_as_str().flatten().is_none_or(|text| !text.contains(['\\', '$']))
        }
        ColumnarValue::Array(_) => false,
    }
}

/// How many numbers or times lie between the least first and the greatest last, at the smallest step.
fn steps(given: &[ColumnarValue]) -> u128 {
    let (first, last) = match given {
        [] => return 0,
        [only] => ((0, 0), extent(only)),
        [first, last, ..] => (extent(first), extent(last)),
    };
    let span = (last.1 - first.0).unsigned_abs().max((last.0 - first.1).unsigned_abs());
    let step = match given.get(2) {
        None => 1,
        Some(ColumnarValue::Scalar(ScalarValue::IntervalMonthDayNano(Some(step)))) => {
            let days = i128::from(step.months) * 28 + i128::from(step.days);
            (days * 86_400_000_000_000 + i128::from(step.nanoseconds)).unsigned_abs()
        }
        Some(ColumnarValue::Scalar(step)) => extent(&ColumnarValue::Scalar(step.clone())).0.unsigned_abs(),
        Some(ColumnarValue::Array(_)) => 1,
    };
    span / step.max(1)
}

/// The least and the greatest value, times in ns; zeros where they are neither.
fn extent(value: &ColumnarValue) -> (i128, i128) {
    let numbers = value.to_array(1).and_then(|values| {
        let is_time = values.data_type().is_temporal();
        let unit = DataType::Timestamp(TimeUnit::Nanosecond, None);
        let values = if is_time { cast(&values, &unit)? } else { values };
        Ok(cast(&values, &DataType::Int64)?)
    });
    let Ok(numbers) = numbers else { return (0, 0) };
    let numbers = numbers.as_primitive::<Int64Type>().iter().flatten().map(i128::from);
    numbers
        .fold(None, |found: Option<(i128, i128)>, number| {
            Some(found.map_or((number, number), |(least, most)| (least.min(number), most.max(number))))
        })
        .unwrap_or((0, 0))
}

/// The sum of the absolute values; 0 where they are no numbers.
fn sum(value: &ColumnarValue, rows: u128) -> u128 {
    let of = |number: i64| u128::from(number.unsigned_abs());
    match value {
        ColumnarValue::Scalar(scalar) => match scalar.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(number))) => of(number) * rows,
            _ => 0,
        },
        ColumnarValue::Array(array) => match cast(array, &DataType::Int64) {
            Ok(numbers) => numbers.as_primitive::<Int64Type>().iter().flatten().map(of).sum(),
            Err(_) => 0,
        },
    }
}

/// Bytes of the longest text, or of any other value, which is at least what it takes.
fn widest(value: &ColumnarValue) -> u128 {
    lengths(value).map_or_else(
        || match value {
            ColumnarValue::Scalar(scalar) => scalar.size() as u128,
            ColumnarValue::Array(array) if array.data_type().is_primitive() => 8,
            ColumnarValue::Array(array) => length(array),
        },
        |(_, most)| most,
    )
}

/// Bytes of the shortest text; 0 of anything else.
fn narrowest(value: &ColumnarValue) -> u128 {
    lengths(value).map_or(0, |(least, _)| least)
}

/// Bytes of the shortest and of the longest text.
fn lengths(value: &ColumnarValue) -> Option<(u128, u128)> {
    let of = |lengths: &mut dyn Iterator<Item = usize>| {
        lengths.fold(None, |found: Option<(u128, u128)>, len| {
            let len = len as u128;
            Some(found.map_or((len, len), |(least, most)| (least.min(len), most.max(len))))
        })
    };
    let found = match value {
        ColumnarValue::Scalar(scalar) => of(&mut scalar.try_as_str()?.map(str::len).into_iter()),
        ColumnarValue::Array(array) => match array.data_type() {
            DataType::Utf8 => of(&mut array.as_string::<i32>().iter().flatten().map(str::len)),
            DataType::LargeUtf8 => of(&mut array.as_string::<i64>().iter().flatten().map(str::len)),
            DataType::Utf8View => of(&mut array.as_string_view().iter().flatten().map(str::len)),
            _ => return None,
        },
    };
    Some(found.unwrap_or((0, 0)))
}

/// Items of lists, with those of the lists within them; letters of texts.
fn items(value: Option<&ColumnarValue>, rows: u128) -> u128 {
    match value {
        None => 0,
        Some(ColumnarValue::Array(array)) => items_of(array),
        Some(ColumnarValue::Scalar(scalar)) => scalar.to_array().map_or(0, |array| items_of(&array)) * rows,
    }
}

fn items_of(array: &ArrayRef) -> u128 {
    // what lies in the buffers before and behind the lists counts too: more than will be made, never less
    match array.data_type() {
        DataType::List(_) => array.len() as u128 + items_of(array.as_list::<i32>().values()),
        DataType::LargeList(_) => array.len() as u128 + items_of(array.as_list::<i64>().values()),
        DataType::FixedSizeList(..) => array.len() as u128 + items_of(array.as_fixed_size_list().values()),
        kind if kind.is_primitive() || kind.is_null() || kind == &DataType::Boolean => array.len() as u128,
        _ => length(array) + array.len() as u128,
    }
}

fn bytes(value: &ColumnarValue, rows: u128) -> u128 {
    match value {
        ColumnarValue::Scalar(_) => widest(value) * rows,
        ColumnarValue::Array(array) => length(array),
    }
}

/// Bytes of an array's values, without what lies before and behind them in its buffers.
pub(crate) fn length(array: &dyn Array) -> u128 {
    let rows = array.len() as u128;
    let span = |first: i64, last: i64| u128::from((last - first).unsigned_abs());
    match array.data_type() {
        DataType::Utf8 => {
            let offsets = array.as_string::<i32>().value_offsets();
            4 * rows + span(i64::from(offsets[0]), i64::from(offsets[array.len()]))
        }
        DataType::Binary => {
            let offsets = array.as_binary::<i32>().value_offsets();
            4 * rows + span(i64::from(offsets[0]), i64::from(offsets[array.len()]))
        }
        DataType::LargeUtf8 => {
            let offsets = array.as_string::<i64>().value_offsets();
            8 * rows + span(offsets[0], offsets[array.len()])
        }
        DataType::Utf8View => {
            let texts = array.as_string_view();
            16 * rows + texts.iter().flatten().map(|text| text.len() as u128).sum::<u128>()
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            let (first, last) = (lists.value_offsets()[0], lists.value_offsets()[array.len()]);
            let (first, last) = (usize::try_from(first).unwrap_or(0), usize::try_from(last).unwrap_or(0));
            4 * rows + length(&lists.values().slice(first, last.saturating_sub(first)))
        }
        DataType::LargeList(_) => {
            let lists = array.as_list::<i64>();
            let (first, last) = (lists.value_offsets()[0], lists.value_offsets()[array.len()]);
            let (first, last) = (usize::try_from(first).unwrap_or(0), usize::try_from(last).unwrap_or(0));
            8 * rows + length(&lists.values().slice(first, last.saturating_sub(first)))
        }
        DataType::Struct(_) => array.as_struct().columns().iter().map(|column| length(column)).sum(),
        kind if kind.is_primitive() || kind.is_null() || kind == &DataType::Boolean => 16 * rows,
        _ => array.get_array_memory_size() as u128,
    }
}
