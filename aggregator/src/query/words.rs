//! SQL functions `has_word(text, …, 'word')` and `has_text(text, …, 'part')`: whether one of some texts, lists of texts or
//! maps, whose values count, has a word or a part of a text. On columns of a table the store answers them itself, by its
//! blooms ([`super::pushdown`]).

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::ScalarUDF;
use store::Says;

use crate::query::function::{Function, scalar};

const WORD: &str = "has_word";
const TEXT: &str = "has_text";

/// The functions.
pub(crate) fn functions() -> Vec<ScalarUDF> {
    vec![scalar(Has { whole: true }), scalar(Has { whole: false })]
}

/// Whether a function of this name looks for whole words; `None` for others.
pub(crate) fn is_whole(name: &str) -> Option<bool> {
    match name {
        WORD => Some(true),
        TEXT => Some(false),
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Has {
    whole: bool,
}

impl Function for Has {
    fn name(&self) -> &'static str {
        if self.whole { WORD } else { TEXT }
    }

    fn returns(&self) -> DataType {
        DataType::Boolean
    }

    fn takes(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let Some((_, texts)) = arguments.split_last().filter(|(_, texts)| !texts.is_empty()) else {
            return plan_err!("{} takes texts, and what one of them must have", self.name());
        };
        // what is searched as it is needs no copy
        let as_is = |given: &DataType| if Says::reads(given) { given.clone() } else { DataType::Utf8 };
        Ok(texts.iter().map(as_is).chain([DataType::Utf8]).collect())
    }

    fn call(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let Some((wanted, texts)) = arguments.split_last() else {
            return exec_err!("{} takes texts, and what one of them must have", self.name());
        };
        let Some(wanted) = wanted.as_string_opt::<i32>() else {
            return exec_err!("{} looks for a text", self.name());
        };
        let is_one =
            wanted.null_count() == 0 && wanted.iter().all(|text| text == wanted.iter().next().flatten());
        if is_one && let Some(first) = wanted.iter().next().flatten() {
            return Ok(Arc::new(BooleanArray::new(self.rows(texts, first, wanted.len()), None)));
        }
        // a slice of a dictionary would be searched in all of its values
        let as_texts = |array: &ArrayRef| match array.data_type() {
            DataType::Dictionary(..) => Ok(cast(array, &DataType::Utf8)?),
            _ => Ok(Arc::clone(array)),
        };
        let texts = texts.iter().map(as_texts).collect::<Result<Vec<_>>>()?;
        let found = wanted.iter().enumerate().map(|(row, text)| {
            let texts: Vec<ArrayRef> = texts.iter().map(|array| array.slice(row, 1)).collect();
            Some(self.rows(&texts, text?, 1).value(0))
        });
        Ok(Arc::new(found.collect::<BooleanArray>()))
    }
}

impl Has {
    fn rows(&self, texts: &[ArrayRef], wanted: &str, rows: usize) -> BooleanBuffer {
        let found = texts.iter().map(|array| Says::rows(array, wanted, self.whole));
        found.reduce(|one, other| &one | &other).unwrap_or_else(|| BooleanBuffer::new_unset(rows))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray as _;
    use datafusion::prelude::SessionContext;

    #[tokio::test]
    async fn words_and_parts_are_found_in_texts_and_lists() {
        let context = SessionContext::new();
        super::functions().into_iter().for_each(|function| context.register_udf(function));
        let query = "SELECT has_word(t, 'art'), has_text(t, 'art'), has_word(t, l, 'pip'), has_word(t, w), has_text(t, NULL) \
             , has_word(arrow_cast(t, 'Dictionary(Int32, Utf8)'), w) \
             FROM (VALUES ('cart', ['a'], 'cart'), ('art-7', ['x pip y'], 'x'), (NULL, NULL, 'x')) AS some(t, l, w)";
        let answer = context.sql(query).await.unwrap().collect().await.unwrap().remove(0);
        let column = |at: usize| answer.column(at).as_boolean().iter().collect::<Vec<_>>();
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(column(0), [no, yes, no]);
        assert_eq!(column(1), [yes, yes, no]);
        assert_eq!(column(2), [no, yes, no]);
        assert_eq!(column(3), [yes, no, no]);
        assert_eq!(column(4), [None; 3]);
        assert_eq!(column(5), [yes, no, no]);
        assert!(context.sql("SELECT has_word('x')").await.is_err());
    }
}
