//! Columns of a table from row messages, one after the other, in the order of its schema.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, Int64Builder, ListBuilder, StringArray, StringBuilder,
    StringDictionaryBuilder, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, SchemaRef};
use arrow::error::ArrowError;
use proto::v1;

use super::identity::identity_columns;
use super::log::string_map_builder;
use super::tables::TableRows;

/// Rows that were admitted, each with its place in the batch, of a table with schema `schema`.
pub(super) struct Columns<'a, R> {
    schema: SchemaRef,
    rows: &'a [(i64, R)],
    done: Vec<ArrayRef>,
}

impl<'a, R> Columns<'a, R> {
    pub(super) fn new(schema: SchemaRef, rows: &'a [(i64, R)]) -> Self {
        Self { schema, rows, done: Vec::new() }
    }

    fn next_field(&self) -> Field {
        self.schema.field(self.done.len().min(self.schema.fields().len() - 1)).clone()
    }

    pub(super) fn times(mut self, value: impl Fn(&R) -> u64) -> Self {
        // 0 is "unknown" for optional times
        let nullable = self.next_field().is_nullable();
        let times = self.rows.iter().map(|(_, row)| {
            let time = value(row);
            (time != 0 || !nullable).then(|| i64::try_from(time).unwrap_or(i64::MAX))
        });
        let times = times.collect::<TimestampNanosecondArray>().with_timezone("UTC");
        self.done.push(Arc::new(times));
        self
    }

    pub(super) fn long(self, value: impl Fn(&R) -> u64) -> Self {
        self.some_long(|row| Some(value(row)))
    }

    pub(super) fn some_long(mut self, value: impl Fn(&R) -> Option<u64>) -> Self {
        let values =
            self.rows.iter().map(|(_, row)| value(row).map(|value| i64::try_from(value).unwrap_or(i64::MAX)));
        self.done.push(Arc::new(values.collect::<Int64Array>()));
        self
    }

    pub(super) fn int(self, value: impl Fn(&R) -> u32) -> Self {
        self.some_int(|row| Some(i32::try_from(value(row)).unwrap_or(i32::MAX)))
    }

    pub(super) fn some_int(mut self, value: impl Fn(&R) -> Option<i32>) -> Self {
        self.done.push(Arc::new(self.rows.iter().map(|(_, row)| value(row)).collect::<Int32Array>()));
        self
    }

    pub(super) fn some_float(mut self, value: impl Fn(&R) -> Option<f64>) -> Self {
        self.done.push(Arc::new(self.rows.iter().map(|(_, row)| value(row)).collect::<Float64Array>()));
        self
    }

    pub(super) fn text(mut self, value: impl Fn(&R) -> &str) -> Self {
        let texts = self.rows.iter().map(|(_, row)| Some(value(row)).filter(|text| !text.is_empty()));
        self.done.push(Arc::new(texts.collect::<StringArray>()));
        self
    }

    pub(super) fn word(mut self, value: impl Fn(&R) -> &str) -> Self {
        let mut builder = StringDictionaryBuilder::<Int32Type>::new();
        for (_, row) in self.rows {
            builder.append_option(Some(value(row)).filter(|word| !word.is_empty()));
        }
        self.done.push(Arc::new(builder.finish()));
        self
    }

    pub(super) fn counts(mut self, value: impl Fn(&R) -> &[u32]) -> Self {
        let mut builder = ListBuilder::new(Int64Builder::new());
        if let DataType::List(element) = self.next_field().data_type() {
            builder = builder.with_field(Arc::clone(element));
        }
        for (_, row) in self.rows {
            let counts = value(row);
            builder.values().extend(counts.iter().map(|count| Some(i64::from(*count))));
            builder.append(!counts.is_empty());
        }
        self.done.push(Arc::new(builder.finish()));
        self
    }

    pub(super) fn strings(mut self, value: impl Fn(&R) -> &[String]) -> Self {
        let mut builder = ListBuilder::new(StringBuilder::new());
        if let DataType::List(element) = self.next_field().data_type() {
            builder = builder.with_field(Arc::clone(element));
        }
        for (_, row) in self.rows {
            value(row).iter().for_each(|text| builder.values().append_value(text));
            builder.append(true);
        }
        self.done.push(Arc::new(builder.finish()));
        self
    }

    pub(super) fn count_map(
        mut self,
        value: impl Fn(&R) -> &BTreeMap<String, u64>,
    ) -> Result<Self, ArrowError> {
        let mut builder = string_map_builder(&self.next_field(), Int64Builder::new())?;
        for (_, row) in self.rows {
            for (key, count) in value(row) {
                builder.keys().append_value(key);
                builder.values().append_value(i64::try_from(*count).unwrap_or(i64::MAX));
            }
            builder.append(true)?;
        }
        self.done.push(Arc::new(builder.finish()));
        Ok(self)
    }

    pub(super) fn string_map(
        mut self,
        value: impl Fn(&R) -> &BTreeMap<String, String>,
    ) -> Result<Self, ArrowError> {
        let mut builder = string_map_builder(&self.next_field(), StringBuilder::new())?;
        for (_, row) in self.rows {
            for (key, text) in value(row) {
                builder.keys().append_value(key);
                builder.values().append_value(text);
            }
            builder.append(true)?;
        }
        self.done.push(Arc::new(builder.finish()));
        Ok(self)
    }

    pub(super) fn identity(mut self, identities: &[&v1::Identity], index: impl Fn(&R) -> u32) -> Self {
        let rows: Vec<u32> = self.rows.iter().map(|(_, row)| index(row)).collect();
        self.done.extend(identity_columns(identities, &rows));
        self
    }

    pub(super) fn finish(self) -> TableRows {
        TableRows { columns: self.done, places: self.rows.iter().map(|(place, _)| *place).collect() }
    }
}
