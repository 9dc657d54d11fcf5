use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, Float64Array, Int64Array, ListArray};
use arrow::datatypes::{Float64Type, Int64Type};
use datafusion::logical_expr::Accumulator as _;

use super::{Counts, counts, quantiles};

fn hist(rows: &[Option<Vec<i64>>]) -> ArrayRef {
    let rows =
        rows.iter().map(|row| row.as_ref().map(|row| row.iter().copied().map(Some).collect::<Vec<_>>()));
    Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows))
}

fn one(bucket: usize, count: i64) -> Vec<i64> {
    let mut row = vec![0; 106];
    row[bucket] = count;
    row
}

#[test]
fn a_sum_of_parts_is_the_sum_of_all_rows() {
    let mut left = Counts::default();
    left.update_batch(&[hist(&[Some(one(3, 2)), None, Some(one(5, 1))])]).unwrap();
    let mut right = Counts::default();
    right.update_batch(&[hist(&[Some(one(3, 40))])]).unwrap();
    let state = right.state().unwrap();
    left.merge_batch(&[state[0].to_array().unwrap()]).unwrap();
    let merged = left.evaluate().unwrap().to_array().unwrap();
    let row = merged.as_list::<i32>().value(0);
    let row = row.as_primitive::<Int64Type>();
    assert_eq!((row.value(3), row.value(5), row.len()), (42, 1, 106));
    assert_eq!(counts(&merged).unwrap().as_primitive::<Int64Type>().value(0), 43);
}

#[test]
fn nothing_seen_is_null_not_zero() {
    let mut sums = Counts::default();
    sums.update_batch(&[hist(&[None])]).unwrap();
    assert!(sums.evaluate().unwrap().is_null());
}

#[test]
fn quantiles_are_microseconds_and_refuse_what_is_no_fraction() {
    let rows = hist(&[Some(one(1, 10)), None, Some(one(0, 0))]);
    let q: ArrayRef = Arc::new(Float64Array::from(vec![0.5, 0.5, 0.5]));
    let found = quantiles(&rows, &q).unwrap();
    let found = found.as_primitive::<Float64Type>();
    assert!((1.024..1.280).contains(&found.value(0)), "{found:?}");
    assert!(arrow::array::Array::is_null(found, 1) && arrow::array::Array::is_null(found, 2));
    for wrong in [-0.1, 1.5, f64::NAN] {
        let q: ArrayRef = Arc::new(Float64Array::from(vec![wrong; 3]));
        assert!(quantiles(&rows, &q).is_err());
    }
}

#[test]
fn made_up_counts_do_not_overflow() {
    let rows = hist(&[Some(vec![i64::MAX; 300]), Some(vec![i64::MIN; 2]), Some(vec![])]);
    let q: ArrayRef = Arc::new(Float64Array::from(vec![0.99; 3]));
    quantiles(&rows, &q).unwrap();
    assert_eq!(counts(&rows).unwrap().as_primitive::<Int64Type>(), &Int64Array::from(vec![i64::MAX, 0, 0]));
    let mut sums = Counts::default();
    sums.update_batch(&[Arc::clone(&rows)]).unwrap();
    sums.update_batch(&[rows]).unwrap();
    sums.evaluate().unwrap();
}
