//! What the engine asks of every scalar function of ours, said once.

use std::any::Any;
use std::fmt::Debug;
use std::hash::Hash;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// A function of values in one row, which gives the same for the same.
pub(crate) trait Function: Debug + PartialEq + Eq + Hash + Send + Sync + 'static {
    /// Its name in SQL.
    fn name(&self) -> &'static str;

    /// What it makes.
    fn returns(&self) -> DataType;

    /// What its arguments are to be read as.
    ///
    /// # Errors
    /// If it does not take these.
    fn takes(&self, arguments: &[DataType]) -> Result<Vec<DataType>>;

    /// Its value in each row.
    ///
    /// # Errors
    /// If a value is not what it takes.
    fn call(&self, arguments: &[ArrayRef]) -> Result<ArrayRef>;
}

/// The function as the engine has it.
pub(crate) fn scalar(function: impl Function) -> ScalarUDF {
    ScalarUDF::new_from_impl(Scalar { function, signature: user_defined() })
}

/// The signature of what says itself what it takes.
pub(crate) fn user_defined() -> Signature {
    Signature::user_defined(Volatility::Immutable)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Scalar<F> {
    function: F,
    signature: Signature,
}

impl<F: Function> ScalarUDFImpl for Scalar<F> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.function.returns())
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.function.takes(arguments)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // of scalars there is one value, whatever the number of rows
        let is_scalar = arguments.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if is_scalar { 1 } else { arguments.number_rows };
        let arrays = arguments.args.into_iter().map(|value| value.into_array(rows));
        let made = self.function.call(&arrays.collect::<Result<Vec<_>>>()?)?;
        Ok(match is_scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?),
            false => ColumnarValue::Array(made),
        })
    }
}
