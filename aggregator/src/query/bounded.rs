//! Functions that make texts and lists, held to what a query's expressions may hold ([`super::made`]).
//!
//! A wrapper says from the arguments how much a call can make (`estimate`), asks for room before anything is allocated,
//! and then lets the engine's own function do the work; a batch for which there is no room is done in halves, down to a
//! row. `a || b` is no function to the engine: here it becomes one, and so does what the engine's planner puts in for
//! operators on lists.

mod concat;
mod estimate;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::concat as joined;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err, resources_err};
use datafusion::functions::{regex, string, unicode};
use datafusion::functions_nested::all_default_nested_functions;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Documentation, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature,
};

use crate::query::made::Made;
pub(super) use estimate::length;
use estimate::{Makes, estimate};

/// The most that one call makes of a batch of rows, bytes: half of it, and half again, if it could be more.
const MOST_OF_A_CALL: u128 = 64 << 20;
/// The most that a constant takes, bytes.
const MOST_OF_A_CONSTANT: u128 = 16 << 20;

/// Bounded versions of every function that makes texts or lists, and of `||`.
#[derive(Clone, Debug)]
pub(super) struct Functions(Arc<HashMap<String, Arc<ScalarUDF>>>);

impl Functions {
    /// Of those that the engine knows.
    pub(super) fn new(find: impl Fn(&str) -> Option<Arc<ScalarUDF>>) -> Self {
        let families =
            [string::functions(), unicode::functions(), regex::functions(), all_default_nested_functions()];
        let names: Vec<String> =
            families.iter().flatten().map(|function| function.name().to_owned()).collect();
        let known = names.iter().map(String::as_str).chain(["to_char", "json_field", "logfmt_field"]);
        let known: BTreeMap<&str, Arc<ScalarUDF>> =
            known.filter_map(|name| Some((name, find(name)?))).collect();
        let concat = Arc::new(ScalarUDF::new_from_impl(concat::Concat::default()));
        let all = known.into_values().chain([concat]);
        let bounded = all.map(|inner| {
            let name = inner.name().to_owned();
            let makes = Makes::of(&name);
            (name, Arc::new(ScalarUDF::new_from_impl(Bounded { inner, makes })))
        });
        Self(Arc::new(bounded.collect()))
    }

    /// Each of them, but for `||`, which has no name that could be called.
    pub(super) fn named(&self) -> impl Iterator<Item = ScalarUDF> {
        let named = self.0.values().filter(|function| function.name() != concat::NAME);
        named.map(|function| ScalarUDF::clone(function))
    }
}

impl FunctionRewrite for Functions {
    fn name(&self) -> &str {
        "bounded"
    }

    fn rewrite(&self, expr: Expr, _schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
                let Some(concat) = self.0.get(concat::NAME) else { return exec_err!("no function for ||") };
                let call = ScalarFunction::new_udf(Arc::clone(concat), vec![*left, *right]);
                Ok(Transformed::yes(Expr::ScalarFunction(call)))
            }
            Expr::ScalarFunction(ScalarFunction { func, args }) => {
                let is_bounded = func.inner().as_any().is::<Bounded>();
                match self.0.get(func.name()).filter(|_| !is_bounded) {
                    Some(bounded) => {
                        let call = ScalarFunction::new_udf(Arc::clone(bounded), args);
                        Ok(Transformed::yes(Expr::ScalarFunction(call)))
                    }
                    None => Ok(Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args }))),
                }
            }
            expr => Ok(Transformed::no(expr)),
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    makes: Makes,
}

impl Bounded {
    /// The values of all rows, made at once or in halves.
    fn rows(&self, made: &Made, arguments: ScalarFunctionArgs) -> Result<ArrayRef> {
        let rows = arguments.number_rows;
        let bytes = estimate(self.makes, &arguments);
        if rows > 1 && bytes > MOST_OF_A_CALL.min(made.most() as u128 / 4) {
            let (first, second) =
                (part(&arguments, 0, rows / 2), part(&arguments, rows / 2, rows - rows / 2));
            let (first, second) = (self.rows(made, first)?, self.rows(made, second)?);
            // both halves are there until they are one
            let both = (first.get_buffer_memory_size() + second.get_buffer_memory_size()) as u128;
            let promise = made.promise(self.inner.name(), both)?;
            let whole = joined(&[&first, &second])?;
            promise.keep(&whole);
            return Ok(whole);
        }
        let promise = made.promise(self.inner.name(), bytes)?;
        let array = self.inner.invoke_with_args(arguments)?.into_array(rows)?;
        promise.keep(&array);
        Ok(array)
    }

    /// The value of a call without columns.
    fn constant(&self, made: Option<&Made>, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let bytes = estimate(self.makes, &ScalarFunctionArgs { number_rows: 1, ..arguments.clone() });
        if bytes > MOST_OF_A_CONSTANT {
            let name = self.inner.name();
            return resources_err!(
                "{name} would make a constant of up to {bytes} bytes; at most {MOST_OF_A_CONSTANT} may be"
            );
        }
        let promise = made.map(|made| made.promise(self.inner.name(), bytes)).transpose()?;
        let value = self.inner.invoke_with_args(arguments)?;
        if let (Some(promise), ColumnarValue::Scalar(value)) = (promise, &value) {
            promise.keep_constant(value.size().saturating_sub(size_of::<ScalarValue>()));
        }
        Ok(value)
    }
}

/// The arguments of some rows.
fn part(arguments: &ScalarFunctionArgs, from: usize, rows: usize) -> ScalarFunctionArgs {
    let args = arguments.args.iter().map(|value| match value {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(from, rows)),
        ColumnarValue::Scalar(_) => value.clone(),
    });
    ScalarFunctionArgs { args: args.collect(), number_rows: rows, ..arguments.clone() }
}

impl ScalarUDFImpl for Bounded {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arguments)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(arguments)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arguments)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    /// As the engine's own, but for those that would become another call of the engine's own.
    fn simplify(&self, args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match self.name() {
            "concat" | "concat_ws" => Ok(ExprSimplifyResult::Original(args)),
            _ => self.inner.simplify(args, context),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let made = Made::of(&arguments.config_options).cloned();
        let is_constant = arguments.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        match made {
            made if is_constant => self.constant(made.as_ref(), arguments),
            Some(made) => self.rows(&made, arguments).map(ColumnarValue::Array),
            // a call within planning, of a batch that is small
            None => self.rows(&Made::new(MOST_OF_A_CONSTANT as usize), arguments).map(ColumnarValue::Array),
        }
    }
}
