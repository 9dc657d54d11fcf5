//! Filters that gather by bytes too: the engine's gathers rows until a batch is full, however long their texts are.
//!
//! A rule puts a [`Sift`] in the place of each filter, once nothing looks at filters any more.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::common::{Result, internal_datafusion_err, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt as _;

use crate::query::bounded::length;

/// What is gathered before it is handed on, bytes; the batch that reaches it comes on top.
const MOST_BYTES: u128 = 4 << 20;

/// The rule.
#[derive(Debug)]
pub(super) struct Sifts;

impl PhysicalOptimizerRule for Sifts {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let sifted = plan.transform_up(|plan| match plan.as_any().is::<FilterExec>() {
            true => Ok(Transformed::yes(Arc::new(Sift { filter: plan }) as Arc<dyn ExecutionPlan>)),
            false => Ok(Transformed::no(plan)),
        });
        sifted.data()
    }

    fn name(&self) -> &str {
        "Sifts"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Does what its filter would do.
#[derive(Debug)]
struct Sift {
    /// Always a [`FilterExec`].
    filter: Arc<dyn ExecutionPlan>,
}

impl DisplayAs for Sift {
    fn fmt_as(&self, kind: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.filter.fmt_as(kind, formatter)
    }
}

impl ExecutionPlan for Sift {
    fn name(&self) -> &str {
        "Sift"
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.filter.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.filter.children()
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let filter = Arc::clone(&self.filter).with_new_children(children)?;
        Ok(Arc::new(Self { filter }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(filter) = self.filter.as_any().downcast_ref::<FilterExec>() else {
            return internal_err!("a sift of what is no filter");
        };
        let input = filter.input().execute(partition, context)?;
        let sieve = Sieve {
            filter: Arc::clone(&self.filter),
            rows: filter.batch_size().max(1),
            left: filter.fetch().unwrap_or(usize::MAX),
            held: Vec::new(),
            held_rows: 0,
            held_bytes: 0,
        };
        let batches = futures::stream::unfold(Some((input, sieve)), |state| async {
            let (mut input, mut sieve) = state?;
            while sieve.left > 0 {
                let Some(batch) = input.next().await else { break };
                match batch.and_then(|batch| sieve.add(&batch)) {
                    Err(error) => return Some((Err(error), None)),
                    Ok(true) => return Some((sieve.take(), Some((input, sieve)))),
                    Ok(false) => {}
                }
            }
            (sieve.held_rows > 0).then(|| (sieve.take(), None))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}

/// What passed and was not handed on yet.
struct Sieve {
    filter: Arc<dyn ExecutionPlan>,
    rows: usize,
    /// Rows that may still pass.
    left: usize,
    held: Vec<RecordBatch>,
    held_rows: usize,
    held_bytes: u128,
}

impl Sieve {
    /// Keeps the rows that pass; whether it is time to hand on what is kept.
    fn add(&mut self, batch: &RecordBatch) -> Result<bool> {
        let Some(filter) = self.filter.as_any().downcast_ref::<FilterExec>() else {
            return internal_err!("a sift of what is no filter");
        };
        let passes = filter.predicate().evaluate(batch)?.into_array(batch.num_rows())?;
        let passes: &BooleanArray = passes
            .as_boolean_opt()
            .ok_or_else(|| internal_datafusion_err!("a filter that says no yes or no"))?;
        let passed = match filter.projection() {
            Some(columns) => filter_record_batch(&batch.project(columns)?, passes)?,
            None => filter_record_batch(batch, passes)?,
        };
        let passed = passed.slice(0, passed.num_rows().min(self.left));
        if passed.num_rows() > 0 {
            self.left -= passed.num_rows();
            self.held_rows += passed.num_rows();
            self.held_bytes += passed.columns().iter().map(|column| length(column)).sum::<u128>();
            self.held.push(passed);
        }
        Ok(self.held_rows >= self.rows || self.held_bytes >= MOST_BYTES)
    }

    /// What is kept, as one batch.
    fn take(&mut self) -> Result<RecordBatch> {
        (self.held_rows, self.held_bytes) = (0, 0);
        let mut held = std::mem::take(&mut self.held);
        match held.len() {
            1 => Ok(held.swap_remove(0)),
            _ => Ok(concat_batches(&self.filter.schema(), &held)?),
        }
    }
}
