//! SQL functions `json_field(text, name)` and `logfmt_field(text, name)`: a field of a line that is JSON or `key=value`
//! words, as text. Counting log lines by one is the store's own question ([`super::field_counts`]).

use std::any::Any;
use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use store::FieldFormat;

const JSON: &str = "json_field";
const LOGFMT: &str = "logfmt_field";

/// The functions.
pub(crate) fn functions() -> Vec<ScalarUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    [(JSON, FieldFormat::Json), (LOGFMT, FieldFormat::Logfmt)]
        .map(|(name, format)| FieldOf { name, format, signature: signature.clone() })
        .map(ScalarUDF::new_from_impl)
        .to_vec()
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
struct FieldOf {
    name: &'static str,
    format: FieldFormat,
    signature: Signature,
}

impl ScalarUDFImpl for FieldOf {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        if arguments.len() != 2 {
            return plan_err!("{} takes a text and the name of a field", self.name);
        }
        Ok(vec![DataType::Utf8; 2])
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [text, name] = arguments.args.as_slice() else {
            return exec_err!("{} takes a text and the name of a field", self.name);
        };
        let is_scalar = matches!((text, name), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if is_scalar { 1 } else { arguments.number_rows };
        let (text, name) = (text.to_array(rows)?, name.to_array(rows)?);
        let (Some(text), Some(name)) = (text.as_string_opt::<i32>(), name.as_string_opt::<i32>()) else {
            return exec_err!("{} takes two texts", self.name);
        };
        let mut values = StringBuilder::new();
        for (text, name) in text.iter().zip(name.iter()) {
            let value =
                text.zip(name).and_then(|(text, name)| store::field(self.format, text.as_bytes(), name));
            values.append_option(value.as_deref().map(String::from_utf8_lossy));
        }
        let values = values.finish();
        Ok(match is_scalar {
            true => ColumnarValue::Scalar(ScalarValue::Utf8(
                values.is_valid(0).then(|| values.value(0).to_owned()),
            )),
            false => ColumnarValue::Array(Arc::new(values)),
        })
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
