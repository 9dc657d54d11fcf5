//! `count(*)` of log lines by `json_field(body, 'user')`: the store counts values where they lie, without making bodies.
//!
//! A physical rule, as [`super::counts`]: the first stage of such an aggregation, directly over a scan of `log` that filters
//! exactly and not by text, becomes one question. It may name a value several times, so it stands for a partial stage only.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::StreamExt as _;
use store::{FieldRequest, Table};

use crate::query::counts::is_count;
use crate::query::fields::format_of;
use crate::query::scan::{Counted, leaf};

/// The rule.
#[derive(Debug)]
pub(crate) struct CountsOfFields;

impl PhysicalOptimizerRule for CountsOfFields {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| match counts(&plan) {
            Some(counts) => Ok(Transformed::yes(Arc::new(counts) as Arc<dyn ExecutionPlan>)),
            None => Ok(Transformed::no(plan)),
        })
        .data()
    }

    fn name(&self) -> &str {
        "CountsOfFields"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn counts(plan: &Arc<dyn ExecutionPlan>) -> Option<FieldCounts> {
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
    Some(FieldCounts::new(counted, request, aggregate.schema()))
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
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl FieldCounts {
    fn new(counted: Counted, request: FieldRequest, schema: SchemaRef) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { counted, request, schema, properties: Arc::new(properties) }
    }
}

impl DisplayAs for FieldCounts {
    fn fmt_as(&self, _kind: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FieldCounts: {:?} field {:?}", self.request.format, self.request.name)
    }
}

impl ExecutionPlan for FieldCounts {
    fn name(&self) -> &str {
        "FieldCounts"
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("counts of a field have no children") }
    }

    fn execute(&self, _partition: usize, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Counted { snapshot, reasons, .. } = &self.counted;
        reasons.add_scanned(Table::Log, (self.request.logs.from_ns, self.request.logs.to_ns));
        let rows = snapshot.log_fields(self.request.clone());
        let rows = rows.map_err(|error| DataFusionError::Plan(error.to_string()))?;
        let (reasons, schema) = (reasons.clone(), Arc::clone(&self.schema));
        let batches = rows.filter_map(move |item| {
            let batch = match item {
                Ok(batch) => Some(conform(&batch, &schema)),
                Err(error) if error.is_partial() => {
                    reasons.add_scan(&error);
                    None
                }
                Err(error) => Some(Err(DataFusionError::External(Box::new(error)))),
            };
            std::future::ready(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }
}

/// Value and count, as the stage that this stands for would name and type them.
fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let pairs = batch.columns().iter().zip(schema.fields());
    let columns = pairs.map(|(column, field)| cast(column, field.data_type())).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
