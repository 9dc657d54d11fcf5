//! SQL functions over latency histograms: `hist_sum(hist)` merges rows, `hist_quantile(hist, q)` reads one in µs,
//! `hist_count(hist)` counts what it holds.
//!
//! The layout is `proto::histogram`'s. A null histogram is no observation; an empty one has no quantile (null).

use std::any::Any;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, Float64Array, Int64Array, ListArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, ScalarUDF, Signature};
use proto::histogram::{BUCKETS, quantile_ns};

use crate::query::function::{Function, scalar, user_defined};

#[cfg(test)]
mod tests;

/// The scalar functions.
pub(crate) fn scalar_functions() -> Vec<ScalarUDF> {
    vec![scalar(Read::Quantile), scalar(Read::Count)]
}

/// The aggregate function.
pub(crate) fn aggregate_functions() -> Vec<AggregateUDF> {
    vec![AggregateUDF::new_from_impl(Sum { signature: user_defined() })]
}

fn counts_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)))
}

fn is_counts(kind: &DataType) -> bool {
    match kind {
        DataType::Null => true,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            item.data_type().is_integer() || item.data_type().is_null()
        }
        _ => false,
    }
}

/// A list of `i64` stays as it is, whatever its element is called; anything else is cast.
fn coerced(kind: &DataType) -> DataType {
    match kind {
        DataType::List(item) if item.data_type() == &DataType::Int64 => kind.clone(),
        _ => counts_type(),
    }
}

/// What is read from a histogram.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Read {
    Quantile,
    Count,
}

impl Function for Read {
    fn name(&self) -> &'static str {
        match self {
            Self::Quantile => "hist_quantile",
            Self::Count => "hist_count",
        }
    }

    fn returns(&self) -> DataType {
        match self {
            Self::Quantile => DataType::Float64,
            Self::Count => DataType::Int64,
        }
    }

    fn takes(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        match (self, arguments) {
            (Self::Quantile, [hist, q]) if is_counts(hist) && (q.is_numeric() || q.is_null()) => {
                Ok(vec![coerced(hist), DataType::Float64])
            }
            (Self::Count, [hist]) if is_counts(hist) => Ok(vec![coerced(hist)]),
            (Self::Quantile, _) => plan_err!("hist_quantile takes a histogram and a number from 0 to 1"),
            (Self::Count, _) => plan_err!("hist_count takes a histogram"),
        }
    }

    fn call(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        match (self, arguments) {
            (Self::Quantile, [hist, q]) => quantiles(hist, q),
            (Self::Count, [hist]) => counts(hist),
            _ => exec_err!("{} has the wrong number of arguments", self.name()),
        }
    }
}

fn quantiles(hist: &ArrayRef, q: &ArrayRef) -> Result<ArrayRef> {
    let hist = list(hist)?;
    let Some(q) = q.as_primitive_opt::<Float64Type>() else {
        return exec_err!("the quantile is no number");
    };
    let mut found = Vec::with_capacity(hist.len());
    for (row, q) in q.iter().enumerate() {
        found.push(match (hist.is_valid(row), q) {
            (true, Some(q)) if q.is_nan() || !(0.0..=1.0).contains(&q) => {
                return exec_err!("hist_quantile: {q} is not between 0 and 1");
            }
            (true, Some(q)) => quantile_ns(&read(&hist.value(row))?, q).map(|ns| ns / 1_000.0),
            _ => None,
        });
    }
    Ok(Arc::new(Float64Array::from(found)))
}

fn counts(hist: &ArrayRef) -> Result<ArrayRef> {
    let hist = list(hist)?;
    let mut found = Vec::with_capacity(hist.len());
    for row in 0..hist.len() {
        found.push(if hist.is_valid(row) {
            let total = read(&hist.value(row))?.into_iter().fold(0_u64, u64::saturating_add);
            Some(i64::try_from(total).unwrap_or(i64::MAX))
        } else {
            None
        });
    }
    Ok(Arc::new(Int64Array::from(found)))
}

fn list(array: &ArrayRef) -> Result<&ListArray> {
    array.as_list_opt::<i32>().ok_or_else(|| DataFusionError::Execution(String::from("this is no histogram")))
}

/// The counts of one histogram; negative ones, which only a query can make up, count as none.
fn read(values: &ArrayRef) -> Result<Vec<u64>> {
    let Some(values) = values.as_primitive_opt::<Int64Type>() else {
        return exec_err!("this is no histogram");
    };
    // A sum of at most 106 such counts fits u64.
    const MOST: u64 = u64::MAX / BUCKETS as u64;
    let counts = values.iter().map(|count| u64::try_from(count.unwrap_or(0)).unwrap_or(0).min(MOST));
    Ok(counts.take(BUCKETS).collect())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sum {
    signature: Signature,
}

impl AggregateUDFImpl for Sum {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        "hist_sum"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(counts_type())
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        match arguments {
            [hist] if is_counts(hist) => Ok(vec![coerced(hist)]),
            _ => plan_err!("hist_sum takes a histogram"),
        }
    }

    fn accumulator(&self, _arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Counts::default()))
    }

    fn state_fields(&self, arguments: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[counts]", arguments.name), counts_type(), true))])
    }
}

/// A histogram that grows; `None` until one was seen.
#[derive(Debug, Default)]
struct Counts(Option<Vec<i64>>);

impl Counts {
    fn add(&mut self, array: &ArrayRef) -> Result<()> {
        let hist = list(array)?;
        let Some(values) = hist.values().as_primitive_opt::<Int64Type>() else {
            return exec_err!("this is no histogram");
        };
        for row in (0..hist.len()).filter(|row| hist.is_valid(*row)) {
            let offsets = hist.value_offsets();
            let range =
                usize::try_from(offsets[row]).unwrap_or(0)..usize::try_from(offsets[row + 1]).unwrap_or(0);
            let sums = self.0.get_or_insert_with(|| vec![0; BUCKETS]);
            for (sum, index) in sums.iter_mut().zip(range) {
                if values.is_valid(index) {
                    *sum = sum.saturating_add(values.value(index).max(0));
                }
            }
        }
        Ok(())
    }

    fn scalar(&self) -> ScalarValue {
        let item = Arc::new(Field::new_list_field(DataType::Int64, true));
        let list = match &self.0 {
            None => ListArray::new_null(item, 1),
            Some(sums) => {
                let offsets = arrow::buffer::OffsetBuffer::from_lengths([sums.len()]);
                ListArray::new(item, offsets, Arc::new(Int64Array::from(sums.clone())), None)
            }
        };
        ScalarValue::List(Arc::new(list))
    }
}

impl Accumulator for Counts {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        values.iter().try_for_each(|array| self.add(array))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.scalar())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.as_ref().map_or(0, |sums| sums.capacity() * size_of::<i64>())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.scalar()])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}
