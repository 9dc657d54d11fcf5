//! Functions that make much out of little (`repeat('x', 2000000000)`), with a bound on what one call may make.
//!
//! The engine counts the memory of sorts, joins and groups, but not that of values in between; a call is refused before
//! it allocates. A wrapper looks at the arguments and then lets the engine's own function do the work.

use std::any::Any;
use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Int64Type, TimeUnit};
use datafusion::common::{Result, ScalarValue, resources_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// The most bytes that one call may make of a batch of rows.
const MOST_BYTES: u128 = 64 << 20;

/// How much a function makes, of its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Makes {
    /// The first argument so many times as the second says.
    Times,
    /// So many letters or items as the second says.
    Length,
    /// Every number from the first to the second.
    Span,
    /// At most the first, each byte replaced by the third.
    Replaced,
}

/// The functions, by name. What else grows does so by the length of the query, which is bounded.
const GROWING: [(&str, Makes); 10] = [
    ("repeat", Makes::Times),
    ("array_repeat", Makes::Times),
    ("lpad", Makes::Length),
    ("rpad", Makes::Length),
    ("array_resize", Makes::Length),
    ("space", Makes::Length),
    ("range", Makes::Span),
    ("generate_series", Makes::Span),
    ("replace", Makes::Replaced),
    ("regexp_replace", Makes::Replaced),
];

/// Bounded versions of those of these functions that grow.
pub(super) fn functions(find: impl Fn(&str) -> Option<Arc<ScalarUDF>>) -> Vec<ScalarUDF> {
    let bounded = |(name, makes)| Some(ScalarUDF::new_from_impl(Bounded { inner: find(name)?, makes }));
    GROWING.into_iter().filter_map(bounded).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    makes: Makes,
}

impl ScalarUDFImpl for Bounded {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arguments)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(arguments)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arguments)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let bytes = estimate(self.makes, &arguments);
        if bytes > MOST_BYTES {
            return resources_err!(
                "{} would make up to {bytes} bytes at once; at most {MOST_BYTES} may be",
                self.name()
            );
        }
        self.inner.invoke_with_args(arguments)
    }
}

/// No less than what the call will make, bytes; it may be more than that.
fn estimate(makes: Makes, arguments: &ScalarFunctionArgs) -> u128 {
    let given = &arguments.args;
    let rows = arguments.number_rows.max(1) as u128;
    let total = |at: usize| given.get(at).map_or(0, |value| sum(value, rows));
    let unit = |at: usize| given.get(at).map_or(1, widest).max(1);
    match makes {
        Makes::Times => unit(0) * total(1),
        // a letter has up to four bytes, an item of a list eight or more
        Makes::Length => unit(2).max(8) * total(1),
        Makes::Span => 8 * rows * steps(given),
        Makes::Replaced => given.first().map_or(0, |text| bytes(text, rows)) * unit(2).div_ceil(16),
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
    match value {
        ColumnarValue::Scalar(scalar) => match scalar.try_as_str() {
            Some(text) => text.map_or(0, str::len) as u128,
            None => scalar.size() as u128,
        },
        ColumnarValue::Array(array) => {
            let longest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0) as u128;
            match array.data_type() {
                DataType::Utf8 => longest(&mut array.as_string::<i32>().iter().flatten().map(str::len)),
                DataType::LargeUtf8 => longest(&mut array.as_string::<i64>().iter().flatten().map(str::len)),
                DataType::Utf8View => longest(&mut array.as_string_view().iter().flatten().map(str::len)),
                kind if kind.is_primitive() => 8,
                _ => array.get_array_memory_size() as u128,
            }
        }
    }
}

fn bytes(value: &ColumnarValue, rows: u128) -> u128 {
    match value {
        ColumnarValue::Scalar(_) => widest(value) * rows,
        ColumnarValue::Array(array) => array.get_array_memory_size() as u128,
    }
}
