//! `count(*)` of log lines by `json_field(body, 'user')`: the store counts values where they lie, without making bodies.
//!
//! A physical rule, as [`super::counts`]: the first stage of such an aggregation, directly over a scan of `log` that filters
//! exactly and not by text, becomes one question. It may name a value several times, so it stands for a partial stage only.

use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use store::{FieldRequest, Table};

use crate::query::counts::is_count;
use crate::query::fields::format_of;
use crate::query::plan::{Answers, Batches, Leaf, Rule, batches};
use crate::query::scan::{Counted, leaf};

/// The rule.
pub(crate) const RULE: Rule = Rule { name: "CountsOfFields", replace: counts };

fn counts(plan: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
    let aggregate = plan.as_any().downcast_ref::<AggregateExec>()?;
    if !matches!(aggregate.mode(), AggregateMode::Partial) || !is_count(aggregate) {
        return None;
    }
    let counted = leaf(aggregate.input())?.counted()?;
    let logs = &counted.request;
    let by_text = !logs.contains.is_empty()
        || !logs.words.is_empty()
        || !logs.regexes.is_empty()
        || !logs.excludes.is_empty()
        || logs.equals.iter().any(|(column, _)| column == "body");
    let [(group, _)] = aggregate.group_expr().expr() else { return None };
    if by_text || !aggregate.group_expr().is_single() {
        return None;
    }
    let (format, name) = field(group)?;
    let request = FieldRequest { logs: logs.clone(), format, name };
    Some(Arc::new(Leaf::new(FieldCounts { counted, request }, aggregate.schema(), 1)))
}

/// The field of bodies that this is, if it is one.
fn field(group: &Arc<dyn PhysicalExpr>) -> Option<(store::FieldFormat, String)> {
    let function = group.as_any().downcast_ref::<ScalarFunctionExpr>()?;
    let [of, name] = function.args() else { return None };
    if of.as_any().downcast_ref::<Column>()?.name() != "body" {
        return None;
    }
    let name = name.as_any().downcast_ref::<Literal>()?.value().try_as_str()??;
    Some((format_of(function.name())?, name.to_owned()))
}

/// Counts of log lines by a field.
#[derive(Debug)]
struct FieldCounts {
    counted: Counted,
    request: FieldRequest,
}

impl Answers for FieldCounts {
    const NAME: &'static str = "FieldCounts";

    fn describe(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} field {:?}", self.request.format, self.request.name)
    }

    fn open(&self, _part: usize, schema: &SchemaRef, _context: &Arc<TaskContext>) -> Result<Batches> {
        let Counted { snapshot, reasons, .. } = &self.counted;
        reasons.add_scanned(Table::Log, (self.request.logs.from_ns, self.request.logs.to_ns));
        let rows = snapshot.log_fields(self.request.clone());
        let rows = rows.map_err(|error| DataFusionError::Plan(error.to_string()))?;
        Ok(batches(rows, schema, reasons, conform))
    }
}

/// Value and count, as the stage that this stands for would name and type them.
fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let pairs = batch.columns().iter().zip(schema.fields());
    let columns = pairs.map(|(column, field)| cast(column, field.data_type())).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
