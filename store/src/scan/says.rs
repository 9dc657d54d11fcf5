//! Conditions on what the texts of a row say: a word, or a part of a text, in one of some columns.

use arrow::array::{Array, AsArray as _, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Int32Type, Schema};
use memchr::memmem::Finder;

use super::{Filter, Test};
use crate::search::{MIN_TOKEN, has_word, tokens};
use crate::{ScanError, Table};

/// A text that a row must have in one of some columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Says {
    /// Columns of texts, lists of texts, or of maps, whose values count. None: all of [`Table::texts`].
    pub columns: Vec<String>,
    /// What one of them must contain, case kept; not ''.
    pub text: String,
    /// As a whole word: no letter, digit, `_` or non-ASCII byte beside its own such end.
    pub whole: bool,
}

/// What is looked for in a text.
#[derive(Clone, Debug)]
pub(crate) struct Needle {
    finder: Box<Finder<'static>>,
    whole: bool,
}

impl PartialEq for Needle {
    fn eq(&self, other: &Self) -> bool {
        self.finder.needle() == other.finder.needle() && self.whole == other.whole
    }
}

impl Needle {
    pub(crate) fn new(text: &str, whole: bool) -> Self {
        Self { finder: Box::new(Finder::new(text.as_bytes()).into_owned()), whole }
    }

    pub(crate) fn is_in(&self, text: &str) -> bool {
        match self.whole {
            true => has_word(text.as_bytes(), &self.finder),
            false => self.finder.find(text.as_bytes()).is_some(),
        }
    }

    /// Tokens that a text must have to contain it. The first and the last of a part of a text may be parts of longer ones.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &[u8]> {
        let text = self.finder.needle();
        let is_sure = |(at, token): &(usize, &[u8])| {
            token.len() >= MIN_TOKEN && (self.whole || (*at > 0 && at + token.len() < text.len()))
        };
        tokens(text).filter(is_sure).map(|(_, token)| token)
    }

    /// Which rows of a column have it.
    pub(crate) fn rows(&self, array: &dyn Array) -> BooleanBuffer {
        let rows = array.len();
        match array.data_type() {
            DataType::Dictionary(..) => {
                let values = array.as_dictionary_opt::<Int32Type>();
                let Some((array, values)) =
                    values.and_then(|array| Some((array, array.values().as_string_opt()?)))
                else {
                    return BooleanBuffer::new_unset(rows);
                };
                let values = self.texts(values);
                BooleanBuffer::collect_bool(rows, |row| array.key(row).is_some_and(|key| values.value(key)))
            }
            DataType::Utf8 => self.texts(array.as_string()),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                self.parts(list.values(), list.value_offsets())
            }
            DataType::Map(..) => {
                let map = array.as_map();
                self.parts(map.values(), map.value_offsets())
            }
            _ => BooleanBuffer::new_unset(rows),
        }
    }

    fn texts(&self, texts: &StringArray) -> BooleanBuffer {
        BooleanBuffer::collect_bool(texts.len(), |row| texts.is_valid(row) && self.is_in(texts.value(row)))
    }

    /// Rows of which each has several texts.
    fn parts(&self, texts: &dyn Array, offsets: &[i32]) -> BooleanBuffer {
        let rows = offsets.len().saturating_sub(1);
        let Some(texts) = texts.as_string_opt::<i32>() else { return BooleanBuffer::new_unset(rows) };
        let at = |row: usize| usize::try_from(offsets[row]).unwrap_or(0);
        BooleanBuffer::collect_bool(rows, |row| {
            (at(row)..at(row + 1)).any(|text| texts.is_valid(text) && self.is_in(texts.value(text)))
        })
    }
}

/// Whether columns of this type have texts that can be searched.
fn is_searchable(data_type: &DataType) -> bool {
    let is_text = |data_type: &DataType| data_type == &DataType::Utf8;
    match data_type {
        DataType::Dictionary(_, values) => is_text(values),
        DataType::List(element) => is_text(element.data_type()),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => fields.get(1).is_some_and(|value| is_text(value.data_type())),
            _ => false,
        },
        other => is_text(other),
    }
}

impl Says {
    /// Whether texts of columns of this type can be searched.
    pub fn reads(data_type: &DataType) -> bool {
        is_searchable(data_type)
    }

    /// Which rows of a column that can be searched have a text.
    pub fn rows(column: &dyn Array, text: &str, whole: bool) -> BooleanBuffer {
        Needle::new(text, whole).rows(column)
    }

    /// The condition on a table's columns.
    pub(crate) fn filter(&self, table: Table, schema: &Schema) -> Result<Filter, ScanError> {
        let all = table.texts();
        let names: Vec<&str> = match self.columns.is_empty() {
            true => all.to_vec(),
            false => self.columns.iter().map(String::as_str).collect(),
        };
        let one = |name: &str| {
            let column = schema.index_of(name).map_err(|_error| ScanError::UnknownColumn(name.to_owned()))?;
            // the log's bodies are searched by `LogRequest`
            if !is_searchable(schema.field(column).data_type()) || (table, name) == (Table::Log, "body") {
                return Err(ScanError::Incomparable { column: name.to_owned(), value: self.text.clone() });
            }
            let test = Test::Says(Needle::new(&self.text, self.whole));
            Ok(Filter { column, name: name.to_owned(), test })
        };
        let mut any = names.into_iter().map(one).collect::<Result<Vec<_>, _>>()?;
        if any.is_empty() {
            let column = table.name().to_owned();
            return Err(ScanError::Incomparable { column, value: self.text.clone() });
        }
        Ok(match any.len() {
            1 => any.remove(0),
            _ => Filter { column: any[0].column, name: String::new(), test: Test::Any(any) },
        })
    }
}
