//! Identity columns: the same on every table, as dictionaries.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, StringArray};
use arrow::datatypes::Int32Type;
use proto::v1::Identity;

/// The string columns of an identity in table order; `cgroup_id` stands after the first nine.
const STRINGS: [fn(&Identity) -> &str; 12] = [
    |identity| &identity.cluster,
    |identity| &identity.node,
    |identity| &identity.zone,
    |identity| &identity.namespace,
    |identity| &identity.workload,
    |identity| &identity.workload_kind,
    |identity| &identity.pod,
    |identity| &identity.pod_uid,
    |identity| &identity.container,
    |identity| &identity.boot_id,
    |identity| &identity.labels,
    |identity| &identity.container_id,
];
const NAMESPACE: usize = 3;
const BEFORE_CGROUP: usize = 9;

/// The identity columns of rows that point into `identities`.
pub(crate) fn identity_columns(identities: &[&Identity], rows: &[u32]) -> Vec<ArrayRef> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(STRINGS.len() + 1);
    for (position, string) in STRINGS.into_iter().enumerate() {
        if position == BEFORE_CGROUP {
            columns.push(cgroup_column(identities, rows));
        }
        let values: Vec<&str> = identities.iter().map(|identity| string(identity)).collect();
        columns.push(dictionary_column(&values, rows, position == NAMESPACE));
    }
    columns
}

/// One identity column by its position among them.
pub(crate) fn identity_column(identities: &[&Identity], rows: &[u32], position: usize) -> ArrayRef {
    if position == BEFORE_CGROUP {
        return cgroup_column(identities, rows);
    }
    let string = if position > BEFORE_CGROUP { position - 1 } else { position };
    let values: Vec<&str> = identities.iter().map(|identity| STRINGS[string](identity)).collect();
    dictionary_column(&values, rows, string == NAMESPACE)
}

fn cgroup_column(identities: &[&Identity], rows: &[u32]) -> ArrayRef {
    let ids: Vec<Option<i64>> = identities
        .iter()
        .map(|identity| {
            (identity.cgroup_id != 0).then(|| i64::try_from(identity.cgroup_id).unwrap_or(i64::MAX))
        })
        .collect();
    Arc::new(rows.iter().map(|row| ids[*row as usize]).collect::<Int64Array>())
}

/// A dictionary column of rows that point into `values`; '' becomes null unless `keep_empty`.
pub(crate) fn dictionary_column(values: &[&str], rows: &[u32], keep_empty: bool) -> ArrayRef {
    let mut distinct: Vec<&str> = Vec::new();
    let mut seen: HashMap<&str, i32> = HashMap::new();
    let keys: Vec<Option<i32>> = values
        .iter()
        .map(|value| {
            if value.is_empty() && !keep_empty {
                return None;
            }
            Some(*seen.entry(value).or_insert_with(|| {
                distinct.push(value);
                i32::try_from(distinct.len() - 1).unwrap_or(i32::MAX)
            }))
        })
        .collect();
    let keys: Int32Array = if keys.iter().all(Option::is_some) {
        let keys: Vec<i32> = keys.into_iter().flatten().collect();
        rows.iter().map(|row| keys[*row as usize]).collect::<Vec<i32>>().into()
    } else if distinct.is_empty() {
        Int32Array::new_null(rows.len())
    } else {
        rows.iter().map(|row| keys[*row as usize]).collect()
    };
    let values = Arc::new(StringArray::from(distinct));
    // every key was given out together with its value above
    Arc::new(DictionaryArray::<Int32Type>::new(keys, values))
}
