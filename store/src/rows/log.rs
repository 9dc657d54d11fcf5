//! Log rows, compact: what rows have in common is said once per chunk, bodies lie in one run of bytes.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Int64Array, MapBuilder, RecordBatch, RecordBatchOptions,
    StringArray, StringBuilder, TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use proto::v1::Identity;

use super::identity::{dictionary_column, identity_column};
use super::origins::OriginMap;
use super::texts::{Texts, shown};
use super::version::version_of;

/// What many log rows have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) identity: Arc<Identity>,
    pub(crate) level: Box<str>,
    pub(crate) source: Box<str>,
    pub(crate) stream: Box<str>,
    /// Of the workload, '' where it is not known.
    pub(crate) version: Box<str>,
}

/// One admitted log row, borrowed from its batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogRow<'a> {
    pub(crate) identity: u32,
    pub(crate) ts: i64,
    pub(crate) observed_ts: i64,
    pub(crate) body: &'a [u8],
    pub(crate) level: &'a str,
    pub(crate) source: &'a str,
    pub(crate) stream: &'a str,
    pub(crate) truncated: bool,
    pub(crate) trace_id: &'a str,
    pub(crate) span_id: &'a str,
    pub(crate) attributes: Vec<(&'a str, &'a str)>,
    /// The attribute `service.version`, ''.
    pub(crate) service_version: &'a str,
}

/// Identity, level, source, stream, `service.version`.
type Common<'a> = (u32, &'a str, &'a str, &'a str, &'a str);
type Attributes = Box<[(Box<str>, Box<str>)]>;

/// Log rows of one chunk. All vectors have one entry per row, except `origins` and `attributes`.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogRows {
    pub(crate) origins: Vec<Arc<Origin>>,
    pub(crate) origin: Vec<u32>,
    pub(crate) ts: Vec<i64>,
    pub(crate) observed_ts: Vec<i64>,
    pub(crate) lsn: Vec<i64>,
    pub(crate) truncated: Vec<bool>,
    pub(crate) bodies: Texts,
    pub(crate) trace_ids: Texts,
    pub(crate) span_ids: Texts,
    /// Rows that have attributes, ascending.
    pub(crate) attributes: Vec<(u32, Arc<Attributes>)>,
}

/// Puts rows into [`LogRows`], finding what they have in common.
#[derive(Debug)]
pub(crate) struct LogRowsBuilder<'a> {
    identities: &'a [Arc<Identity>],
    known: HashMap<Common<'a>, u32>,
    last: Option<(Common<'a>, u32)>,
    rows: LogRows,
}

impl<'a> LogRowsBuilder<'a> {
    pub(crate) fn new(identities: &'a [Arc<Identity>], rows: usize, body_bytes: usize) -> Self {
        let rows = LogRows {
            origin: Vec::with_capacity(rows),
            ts: Vec::with_capacity(rows),
            observed_ts: Vec::with_capacity(rows),
            lsn: Vec::with_capacity(rows),
            truncated: Vec::with_capacity(rows),
            bodies: Texts::with_capacity(rows, body_bytes),
            trace_ids: Texts::with_capacity(rows, 0),
            span_ids: Texts::with_capacity(rows, 0),
            ..LogRows::default()
        };
        Self { identities, known: HashMap::new(), last: None, rows }
    }

    /// Adds a row whose identity index was checked. `lsn` is relative to the batch until it is written.
    pub(crate) fn push(&mut self, row: &LogRow<'a>, lsn: i64) {
        let origin = self.origin((row.identity, row.level, row.source, row.stream, row.service_version));
        let rows = &mut self.rows;
        if !row.attributes.is_empty() {
            let attributes: Attributes =
                row.attributes.iter().map(|(key, value)| (Box::from(*key), Box::from(*value))).collect();
            rows.attributes.push((u32::try_from(rows.ts.len()).unwrap_or(u32::MAX), Arc::new(attributes)));
        }
        rows.origin.push(origin);
        rows.ts.push(row.ts);
        rows.observed_ts.push(row.observed_ts);
        rows.lsn.push(lsn);
        rows.truncated.push(row.truncated);
        rows.bodies.push(row.body);
        rows.trace_ids.push(row.trace_id.as_bytes());
        rows.span_ids.push(row.span_id.as_bytes());
    }

    pub(crate) fn finish(self) -> LogRows {
        self.rows
    }

    fn origin(&mut self, key: Common<'a>) -> u32 {
        if let Some((last, origin)) = self.last
            && last == key
        {
            return origin;
        }
        let origins = &mut self.rows.origins;
        let origin = *self.known.entry(key).or_insert_with(|| {
            let (identity, level, source, stream, version) = key;
            let identity = &self.identities[identity as usize];
            origins.push(Arc::new(Origin {
                version: version_of(identity, version).into(),
                identity: Arc::clone(identity),
                level: level.into(),
                source: source.into(),
                stream: stream.into(),
            }));
            u32::try_from(origins.len() - 1).unwrap_or(u32::MAX)
        });
        self.last = Some((key, origin));
        origin
    }
}

impl LogRows {
    pub(crate) fn len(&self) -> usize {
        self.ts.len()
    }

    /// Memory, bytes.
    pub(crate) fn bytes(&self) -> usize {
        let texts = self.bodies.memory() + self.trace_ids.memory() + self.span_ids.memory();
        let attributes: usize = self
            .attributes
            .iter()
            .flat_map(|(_, list)| list.iter())
            .map(|(key, value)| key.len() + value.len() + 48)
            .sum();
        texts + attributes + self.ts.capacity() * 29 + self.origins.len() * 192
    }

    /// Makes lsns, which were relative to their batch, absolute.
    pub(crate) fn rebase(&mut self, base: i64) {
        self.lsn.iter_mut().for_each(|lsn| *lsn += base);
    }

    pub(crate) fn concat(first: &Self, second: &Self) -> Self {
        let order: Vec<(u32, u32)> = [first, second]
            .iter()
            .zip(0..)
            .flat_map(|(rows, part)| {
                (0..rows.len()).map(move |row| (part, u32::try_from(row).unwrap_or(u32::MAX)))
            })
            .collect();
        let mut rows = OriginMap::new(&[first, second]).gather(&[first, second], &order);
        rows.bodies = first.bodies.clone();
        rows.bodies.append(&second.bodies);
        rows
    }

    /// Some of the rows, with their bodies.
    pub(crate) fn some(&self, rows: &[u32]) -> Self {
        let order: Vec<(u32, u32)> = rows.iter().map(|row| (0, *row)).collect();
        let mut some = OriginMap::new(&[self]).gather(&[self], &order);
        rows.iter().for_each(|row| some.bodies.push(self.bodies.get(*row as usize)));
        some
    }

    /// The rows stored behind the first position, up to and with the second.
    pub(crate) fn within(&self, (after, upto): (i64, i64)) -> Vec<u32> {
        let found = self.lsn.iter().enumerate().filter(|(_, lsn)| **lsn > after && **lsn <= upto);
        found.map(|(row, _)| u32::try_from(row).unwrap_or(u32::MAX)).collect()
    }

    /// The columns named by their position in `schema`, of all rows or of those at `rows`.
    ///
    /// # Errors
    /// If the columns do not fit the schema, which would be a defect.
    pub(crate) fn columns(
        &self,
        schema: &SchemaRef,
        rows: Option<&[u32]>,
    ) -> Result<RecordBatch, ArrowError> {
        let all: Vec<u32>;
        let rows = match rows {
            Some(rows) => rows,
            None => {
                all = (0..self.len()).map(|row| u32::try_from(row).unwrap_or(u32::MAX)).collect();
                &all
            }
        };
        let origin: Vec<u32> = rows.iter().map(|row| self.origin[*row as usize]).collect();
        let identities: Vec<&Identity> = self.origins.iter().map(|origin| &*origin.identity).collect();
        let mut columns = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            columns.push(self.column(field, rows, &origin, &identities)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
    }

    fn column(
        &self,
        field: &Field,
        rows: &[u32],
        origin: &[u32],
        identities: &[&Identity],
    ) -> Result<ArrayRef, ArrowError> {
        let ints = |values: &[i64]| rows.iter().map(|row| values[*row as usize]).collect::<Vec<i64>>();
        let shared = |value: fn(&Origin) -> &str| {
            let values: Vec<&str> = self.origins.iter().map(|origin| value(origin)).collect();
            dictionary_column(&values, origin, false)
        };
        Ok(match field.name().as_str() {
            "ts" => Arc::new(TimestampNanosecondArray::from(ints(&self.ts)).with_timezone("UTC")),
            "observed_ts" if matches!(field.data_type(), DataType::Timestamp(TimeUnit::Millisecond, _)) => {
                let times = rows.iter().map(|row| self.observed_ts[*row as usize].div_euclid(1_000_000));
                Arc::new(TimestampMillisecondArray::from_iter_values(times).with_timezone("UTC"))
            }
            "observed_ts" => {
                Arc::new(TimestampNanosecondArray::from(ints(&self.observed_ts)).with_timezone("UTC"))
            }
            "lsn" => Arc::new(Int64Array::from(ints(&self.lsn))),
            "level" => shared(|origin| &origin.level),
            "source" => shared(|origin| &origin.source),
            "stream" => shared(|origin| &origin.stream),
            "truncated" => {
                Arc::new(rows.iter().map(|row| Some(self.truncated[*row as usize])).collect::<BooleanArray>())
            }
            "body" if field.data_type() == &DataType::Binary => {
                Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| self.bodies.get(*row as usize))))
            }
            "body" => Arc::new(StringArray::from_iter_values(
                rows.iter().map(|row| shown(self.bodies.get(*row as usize))),
            )),
            "trace_id" => text_column(&self.trace_ids, rows),
            "span_id" => text_column(&self.span_ids, rows),
            "attributes" => self.attributes_column(field, rows)?,
            name => {
                let position = crate::table::IDENTITY.iter().position(|column| column.name == name);
                let position =
                    position.ok_or_else(|| ArrowError::SchemaError(format!("log has no column {name}")))?;
                identity_column(identities, origin, position)
            }
        })
    }

    fn attributes_column(&self, field: &Field, rows: &[u32]) -> Result<ArrayRef, ArrowError> {
        let mut builder = string_map_builder(field, StringBuilder::new())?;
        for row in rows {
            if let Some(attributes) = self.attributes_of(*row) {
                for (key, value) in attributes.iter() {
                    builder.keys().append_value(key);
                    builder.values().append_value(value);
                }
            }
            builder.append(true)?;
        }
        Ok(Arc::new(builder.finish()))
    }

    pub(crate) fn attributes_of(&self, row: u32) -> Option<&Arc<Attributes>> {
        let position = self.attributes.binary_search_by_key(&row, |(row, _)| *row).ok()?;
        Some(&self.attributes[position].1)
    }
}

/// A map builder whose fields are those of `field`, so that field ids stay.
pub(crate) fn string_map_builder<V: arrow::array::ArrayBuilder>(
    field: &Field,
    values: V,
) -> Result<MapBuilder<StringBuilder, V>, ArrowError> {
    let DataType::Map(entries, _) = field.data_type() else {
        return Err(ArrowError::SchemaError(format!("{} is not a map", field.name())));
    };
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(ArrowError::SchemaError(format!("{} has no entries", field.name())));
    };
    let names = arrow::array::MapFieldNames {
        entry: entries.name().clone(),
        key: fields[0].name().clone(),
        value: fields[1].name().clone(),
    };
    Ok(MapBuilder::new(Some(names), StringBuilder::new(), values)
        .with_keys_field(Arc::clone(&fields[0]))
        .with_values_field(Arc::clone(&fields[1])))
}

fn text_column(texts: &Texts, rows: &[u32]) -> ArrayRef {
    let texts = rows.iter().map(|row| {
        // it was checked to be UTF-8 when the batch was decoded
        let text = str::from_utf8(texts.get(*row as usize)).unwrap_or("");
        (!text.is_empty()).then_some(text)
    });
    Arc::new(texts.collect::<StringArray>())
}
