//! Columns of a record batch as rows need them: texts, numbers, times, maps.

use arrow::array::{Array as _, AsArray as _, MapArray, RecordBatch, StringArray};
use arrow::datatypes::{
    DataType, Int32Type, Int64Type, TimeUnit, TimestampMillisecondType, TimestampNanosecondType,
};

use crate::export::resource::Who;

/// Who a row is about, but for `labels` and what only Wake has.
pub(super) const IDENTITY: [&str; 10] = [
    "cluster",
    "node",
    "zone",
    "namespace",
    "workload",
    "workload_kind",
    "pod",
    "pod_uid",
    "container",
    "container_id",
];

/// A column of texts; '' where it is absent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Texts<'a> {
    Plain(&'a StringArray),
    Dictionary(&'a arrow::array::Int32Array, &'a StringArray),
    Absent,
}

impl<'a> Texts<'a> {
    pub(super) fn new(batch: &'a RecordBatch, name: &str) -> Self {
        let Some(column) = batch.column_by_name(name) else { return Self::Absent };
        if let Some(texts) = column.as_string_opt::<i32>() {
            return Self::Plain(texts);
        }
        let dictionary = column.as_dictionary_opt::<Int32Type>();
        let texts = dictionary.and_then(|found| Some((found.keys(), found.values().as_string_opt::<i32>()?)));
        texts.map_or(Self::Absent, |(keys, values)| Self::Dictionary(keys, values))
    }

    pub(super) fn get(&self, row: usize) -> &'a str {
        match self {
            Self::Plain(texts) if texts.is_valid(row) => texts.value(row),
            Self::Dictionary(keys, values) if keys.is_valid(row) => {
                let key = usize::try_from(keys.value(row)).unwrap_or(usize::MAX);
                if key < values.len() { values.value(key) } else { "" }
            }
            _ => "",
        }
    }
}

/// A column of whole numbers.
pub(super) fn ints<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a [i64]> {
    Some(batch.column_by_name(name)?.as_primitive_opt::<Int64Type>()?.values())
}

/// A column of times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times<'a> {
    values: &'a [i64],
    factor: i64,
}

impl<'a> Times<'a> {
    pub(super) fn new(batch: &'a RecordBatch, name: &str) -> Option<Self> {
        let column = batch.column_by_name(name)?;
        let (values, factor): (&[i64], i64) = match column.data_type() {
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                (column.as_primitive::<TimestampNanosecondType>().values(), 1)
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                (column.as_primitive::<TimestampMillisecondType>().values(), 1_000_000)
            }
            _ => return None,
        };
        Some(Self { values, factor })
    }

    /// Since 1970, ns.
    pub(super) fn get(&self, row: usize) -> u64 {
        u64::try_from(self.values[row].saturating_mul(self.factor)).unwrap_or(0)
    }
}

/// A column of maps from text to text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Maps<'a> {
    map: &'a MapArray,
    keys: &'a StringArray,
    values: &'a StringArray,
}

impl<'a> Maps<'a> {
    pub(super) fn new(batch: &'a RecordBatch, name: &str) -> Option<Self> {
        let map = batch.column_by_name(name)?.as_map_opt()?;
        Some(Self {
            map,
            keys: map.keys().as_string_opt::<i32>()?,
            values: map.values().as_string_opt::<i32>()?,
        })
    }

    pub(super) fn get(&self, row: usize) -> impl Iterator<Item = (&'a str, &'a str)> {
        let offsets = self.map.value_offsets();
        let at = |index: usize| usize::try_from(offsets[index]).unwrap_or(0);
        let (keys, values) = (self.keys, self.values);
        (at(row)..at(row + 1)).map(move |entry| (keys.value(entry), values.value(entry)))
    }
}

/// The columns of who a row is about.
#[derive(Debug)]
pub(super) struct Identity<'a> {
    columns: [Texts<'a>; IDENTITY.len()],
    service: Texts<'a>,
    scope_name: Texts<'a>,
    scope_version: Texts<'a>,
}

impl<'a> Identity<'a> {
    pub(super) fn new(batch: &'a RecordBatch) -> Self {
        Self {
            columns: IDENTITY.map(|name| Texts::new(batch, name)),
            service: Texts::new(batch, "service"),
            scope_name: Texts::new(batch, "scope_name"),
            scope_version: Texts::new(batch, "scope_version"),
        }
    }

    /// The same for rows that share a resource and a scope.
    pub(super) fn key(&self, row: usize) -> String {
        let mut key = String::with_capacity(128);
        let more = [&self.service, &self.scope_name, &self.scope_version];
        for texts in self.columns.iter().chain(more) {
            key.push_str(texts.get(row));
            // in no name
            key.push('\0');
        }
        key
    }

    pub(super) fn who(&self, row: usize) -> Who<'a> {
        let [cluster, node, zone, namespace, workload, workload_kind, pod, pod_uid, container, container_id] =
            self.columns.map(|texts| texts.get(row));
        Who {
            cluster,
            node,
            zone,
            namespace,
            workload,
            workload_kind,
            pod,
            pod_uid,
            container,
            container_id,
            service: self.service.get(row),
            scope_name: self.scope_name.get(row),
            scope_version: self.scope_version.get(row),
        }
    }
}
