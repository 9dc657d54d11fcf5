//! What the engine asks of every plan of ours, said once: a leaf that the store answers, and a rule that puts one plan in
//! the place of another.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use store::RowStream;

use crate::query::session::Reasons;

/// Batches of one part of a leaf.
pub(crate) type Batches = BoxStream<'static, Result<RecordBatch>>;

/// What one kind of leaf is.
pub(crate) trait Answers: fmt::Debug + Send + Sync + 'static {
    /// Its name in `EXPLAIN`.
    const NAME: &'static str;

    /// What `EXPLAIN` says after the name.
    fn describe(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// The rows of one part, in the plan's schema.
    ///
    /// # Errors
    /// If the store refuses the question.
    fn open(&self, part: usize, schema: &SchemaRef, context: &Arc<TaskContext>) -> Result<Batches>;
}

/// A leaf of a plan.
#[derive(Debug)]
pub(crate) struct Leaf<A> {
    answers: A,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl<A: Answers> Leaf<A> {
    /// A leaf of so many parts.
    pub(crate) fn new(answers: A, schema: SchemaRef, parts: usize) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(parts),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { answers, schema, properties: Arc::new(properties) }
    }

    /// What answers it.
    pub(crate) fn answers(&self) -> &A {
        &self.answers
    }
}

impl<A: Answers> DisplayAs for Leaf<A> {
    fn fmt_as(&self, _kind: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: ", A::NAME)?;
        self.answers.describe(formatter)
    }
}

impl<A: Answers> ExecutionPlan for Leaf<A> {
    fn name(&self) -> &str {
        A::NAME
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
        if children.is_empty() { Ok(self) } else { internal_err!("{} has no children", A::NAME) }
    }

    fn execute(&self, part: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let batches = self.answers.open(part, &self.schema, &context)?;
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }
}

/// The store's rows in the plan's schema; what cannot be read is noted as a reason, and the rest stands.
pub(crate) fn batches(
    rows: RowStream,
    schema: &SchemaRef,
    reasons: &Reasons,
    conform: fn(&RecordBatch, &SchemaRef) -> Result<RecordBatch>,
) -> Batches {
    let (schema, reasons) = (Arc::clone(schema), reasons.clone());
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
    batches.boxed()
}

/// What a rule puts in the place of this plan, if it knows it.
type Replace = fn(&Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>>;

/// Puts another plan in the place of what it knows.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) replace: Replace,
}

impl PhysicalOptimizerRule for Rule {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let replaced = plan.transform_up(|plan| match (self.replace)(&plan) {
            Some(other) => Ok(Transformed::yes(other)),
            None => Ok(Transformed::no(plan)),
        });
        replaced.data()
    }

    fn name(&self) -> &str {
        self.name
    }

    fn schema_check(&self) -> bool {
        true
    }
}
