//! SQL functions `json_field(text, name)` and `logfmt_field(text, name)`: a field of a line that is JSON or `key=value`
//! words, as text. Counting log lines by one is the store's own question ([`super::field_counts`]).

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::ScalarUDF;
use store::FieldFormat;

use crate::query::function::{Function, scalar};

const JSON: &str = "json_field";
const LOGFMT: &str = "logfmt_field";

/// The functions.
pub(crate) fn functions() -> Vec<ScalarUDF> {
    vec![scalar(FieldOf(FieldFormat::Json)), scalar(FieldOf(FieldFormat::Logfmt))]
}

/// The format that a function of this name reads.
pub(crate) fn format_of(name: &str) -> Option<FieldFormat> {
    match name {
        JSON => Some(FieldFormat::Json),
        LOGFMT => Some(FieldFormat::Logfmt),
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FieldOf(FieldFormat);

impl Function for FieldOf {
    fn name(&self) -> &'static str {
        match self.0 {
            FieldFormat::Json => JSON,
            FieldFormat::Logfmt => LOGFMT,
        }
    }

    fn returns(&self) -> DataType {
        DataType::Utf8
    }

    fn takes(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        if arguments.len() != 2 {
            return plan_err!("{} takes a text and the name of a field", self.name());
        }
        Ok(vec![DataType::Utf8; 2])
    }

    fn call(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let texts = |at: usize| arguments.get(at).and_then(|array| array.as_string_opt::<i32>());
        let (Some(text), Some(name)) = (texts(0), texts(1)) else {
            return exec_err!("{} takes two texts", self.name());
        };
        let mut values = StringBuilder::new();
        for (text, name) in text.iter().zip(name.iter()) {
            let value = text.zip(name).and_then(|(text, name)| store::field(self.0, text.as_bytes(), name));
            values.append_option(value.as_deref().map(String::from_utf8_lossy));
        }
        Ok(Arc::new(values.finish()))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray as _, RecordBatch};
    use datafusion::prelude::SessionContext;

    async fn asked(query: &str) -> RecordBatch {
        let context = SessionContext::new();
        super::functions().into_iter().for_each(|function| context.register_udf(function));
        context.sql(query).await.unwrap().collect().await.unwrap().remove(0)
    }

    #[tokio::test]
    async fn fields_are_texts_and_absent_ones_are_null() {
        let answer = asked(
            "SELECT json_field(t, 'user'), logfmt_field(t, 'user'), json_field('{\"a\":1}', 'a') \
             FROM (VALUES ('{\"user\":\"u1\"}'), ('user=u2 x=1'), (NULL)) AS lines(t)",
        )
        .await;
        let column = |at: usize| answer.column(at).as_string::<i32>().iter().collect::<Vec<_>>();
        assert_eq!(column(0), [Some("u1"), None, None]);
        assert_eq!(column(1), [None, Some("u2"), None]);
        assert_eq!(column(2), [Some("1"); 3]);
    }
}
