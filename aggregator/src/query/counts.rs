//! `count(*)` of log lines by minute, level, workload, namespace or pod is a question that the store has counted already.
//!
//! A physical rule: the first stage of such an aggregation, directly over a scan of `log` that filters exactly, becomes
//! one histogram request, which sketches answer where they are exact and rows where they are not. Later stages stay.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampNanosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use futures::{StreamExt as _, TryStreamExt as _};
use store::{Histogram, HistogramBy, HistogramRequest, RequestError, Table};

use crate::query::plan::{Answers, Batches, Leaf, Rule};
use crate::query::scan::{Counted, leaf};

const MINUTE_NS: i64 = 60_000_000_000;
/// The most steps that the store is asked for; beyond, rows are counted.
const MOST_STEPS: i64 = 50_000;
/// The same of buckets, of all keys together: they are in memory at once, which the query's own memory does not know.
const MOST_BUCKETS: usize = 500_000;

/// The rule.
pub(crate) const RULE: Rule = Rule { name: "CountsFromSketches", replace: counts };

/// What a column of the answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Bucket,
    Key,
}

/// Whether an aggregation counts all rows of each group, and nothing else.
pub(super) fn is_count(aggregate: &AggregateExec) -> bool {
    let [count] = aggregate.aggr_expr() else { return false };
    let counts_rows = count.fun().name() == "count" && !count.is_distinct() && count.order_bys().is_empty();
    let counts_all = count
        .expressions()
        .iter()
        .all(|of| of.as_any().downcast_ref::<Literal>().is_some_and(|literal| !literal.value().is_null()));
    counts_rows && counts_all && !aggregate.filter_expr().iter().any(Option::is_some)
}

fn counts(plan: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
    let aggregate = plan.as_any().downcast_ref::<AggregateExec>()?;
    let is_first = matches!(
        aggregate.mode(),
        AggregateMode::Partial | AggregateMode::Single | AggregateMode::SinglePartitioned
    );
    if !is_first || !is_count(aggregate) {
        return None;
    }
    let counted = leaf(aggregate.input())?.counted()?;
    let (mut groups, mut step_ns, mut by) = (Vec::new(), None, HistogramBy::Time);
    if !aggregate.group_expr().is_single() {
        return None;
    }
    for (group, _) in aggregate.group_expr().expr() {
        match grouping(group)? {
            Grouping::Step(step) if step_ns.is_none() => {
                step_ns = Some(step);
                groups.push(Group::Bucket);
            }
            Grouping::Key(key) if by == HistogramBy::Time => {
                by = key;
                groups.push(Group::Key);
            }
            _ => return None,
        }
    }
    let logs = counted.request.clone();
    let (oldest, newest) = counted.snapshot.log_times().unwrap_or_default();
    let span = logs.to_ns.min(newest).saturating_sub(logs.from_ns.max(oldest));
    if step_ns.is_some_and(|step| span / step > MOST_STEPS) {
        return None;
    }
    let request = HistogramRequest { logs, step_ns, by };
    let (most, rows) = (MOST_BUCKETS, Arc::clone(plan));
    Some(Arc::new(Leaf::new(LogCounts { counted, request, groups, most, rows }, aggregate.schema(), 1)))
}

enum Grouping {
    Step(i64),
    Key(HistogramBy),
}

fn grouping(group: &Arc<dyn PhysicalExpr>) -> Option<Grouping> {
    if let Some(column) = group.as_any().downcast_ref::<Column>() {
        return Some(Grouping::Key(match column.name() {
            "level" => HistogramBy::Level,
            "workload" => HistogramBy::Workload,
            "namespace" => HistogramBy::Namespace,
            "pod" => HistogramBy::Pod,
            _ => return None,
        }));
    }
    let function = group.as_any().downcast_ref::<ScalarFunctionExpr>()?;
    let [width, of] = function.args() else { return None };
    if of.as_any().downcast_ref::<Column>()?.name() != "ts" {
        return None;
    }
    let width = width.as_any().downcast_ref::<Literal>()?.value();
    let step = match (function.name(), width) {
        ("date_trunc", unit) => match unit.try_as_str()?? {
            "minute" => MINUTE_NS,
            "hour" => 60 * MINUTE_NS,
            "day" => 1_440 * MINUTE_NS,
            _ => return None,
        },
        // days of an interval may be of any length; in UTC, where `ts` is, they are not
        ("date_bin", ScalarValue::IntervalMonthDayNano(Some(width))) if width.months == 0 => {
            i64::from(width.days).checked_mul(1_440 * MINUTE_NS)?.checked_add(width.nanoseconds)?
        }
        _ => return None,
    };
    // shorter ones are in no sketch
    (step > 0 && step % MINUTE_NS == 0).then_some(Grouping::Step(step))
}

/// Counts of log lines.
#[derive(Clone, Debug)]
struct LogCounts {
    counted: Counted,
    request: HistogramRequest,
    groups: Vec<Group>,
    most: usize,
    /// What this stands for: it counts rows, and spills, where there are too many buckets.
    rows: Arc<dyn ExecutionPlan>,
}

impl Answers for LogCounts {
    const NAME: &'static str = "LogCounts";

    fn describe(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "by={:?}", self.request.by)?;
        match self.request.step_ns {
            Some(step) => write!(formatter, ", step={} s", step / 1_000_000_000),
            None => Ok(()),
        }
    }

    fn open(&self, _part: usize, schema: &SchemaRef, context: &Arc<TaskContext>) -> Result<Batches> {
        let Counted { snapshot, reasons, .. } = self.counted.clone();
        let (request, groups, schema) = (self.request.clone(), self.groups.clone(), Arc::clone(schema));
        reasons.add_scanned(Table::Log, (request.logs.from_ns, request.logs.to_ns));
        let (most, rows, context) = (self.most, Arc::clone(&self.rows), Arc::clone(context));
        let counted = async move {
            let counts = match snapshot.log_histogram_within(request, most).await {
                Ok(counts) => counts,
                Err(RequestError::Buckets(_)) => {
                    return Ok(CoalescePartitionsExec::new(rows).execute(0, context)?.boxed());
                }
                Err(error) => return Err(DataFusionError::Plan(error.to_string())),
            };
            counts.errors.iter().for_each(|error| reasons.add_scan(error));
            let batch = batch(&counts, &groups, &schema);
            Ok(futures::stream::once(std::future::ready(batch)).boxed())
        };
        Ok(futures::stream::once(counted).try_flatten().boxed())
    }
}

fn batch(counts: &Histogram, groups: &[Group], schema: &SchemaRef) -> Result<RecordBatch> {
    let buckets = &counts.buckets;
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for (group, field) in groups.iter().zip(schema.fields()) {
        let column: ArrayRef = match group {
            Group::Bucket => Arc::new(TimestampNanosecondArray::from_iter_values(
                buckets.iter().map(|bucket| bucket.start_ns),
            )),
            // what is absent is no empty text, except where a column is never absent
            Group::Key => Arc::new(StringArray::from_iter(
                buckets
                    .iter()
                    .map(|bucket| (!bucket.key.is_empty() || !field.is_nullable()).then_some(&bucket.key)),
            )),
        };
        columns.push(cast(&column, field.data_type())?);
    }
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let counted: Vec<i64> = match groups {
        // without groups there is always one row
        [] => vec![buckets.iter().map(|bucket| number(bucket.count)).sum()],
        _ => buckets.iter().map(|bucket| number(bucket.count)).collect(),
    };
    let options = RecordBatchOptions::new().with_row_count(Some(counted.len()));
    columns.push(Arc::new(Int64Array::from(counted)));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

#[cfg(test)]
mod tests;
