//! What goes into the parts of a plan that hold or repeat rows without counting them: window functions, joins, lists that
//! become rows.
//!
//! A rule puts a watch below each of them. Below windows it asks the query's memory for all rows that went in; below
//! joins it refuses rows so wide that a batch of repetitions would not fit, and hands on no more rows at a time than a
//! batch has; below an unnesting it cuts batches until what comes of each fits. Of a row a join repeats what it compares,
//! and the rest where both sides come out: a semi- or anti-join hands on each row of one side once, and none of the other.

use std::any::Any;
use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::common::{JoinSide, JoinType, Result, internal_err, resources_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::BoundedWindowAggExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt as _;

use crate::query::bounded::length;
use crate::query::made::Made;

/// The rule.
#[derive(Debug)]
pub(super) struct Watches;

/// What the part above does with the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Above {
    /// It holds all of them; `texts`: so many of its own columns may repeat the widest.
    Holds { texts: usize },
    /// It repeats a row for those of another side: these columns of it, or all.
    Joins { repeated: Option<Arc<[usize]>> },
    /// It repeats a row for each item of its lists.
    Unnests,
}

impl Above {
    /// What a plan does with the rows of one of its children.
    fn of(plan: &Arc<dyn ExecutionPlan>, child: usize) -> Option<Self> {
        Some(match plan.name() {
            "BoundedWindowAggExec" if !looks_back(plan) => return None,
            "WindowAggExec" | "BoundedWindowAggExec" => {
                let input = plan.children().first().map_or(0, |child| child.schema().fields().len());
                let schema = plan.schema();
                let own = schema.fields().iter().skip(input);
                Self::Holds { texts: own.filter(|field| !field.data_type().is_primitive()).count() }
            }
            "HashJoinExec"
            | "CrossJoinExec"
            | "NestedLoopJoinExec"
            | "SortMergeJoinExec"
            | "SymmetricHashJoinExec"
            | "PiecewiseMergeJoinExec" => Self::Joins { repeated: repeated(plan, child) },
            "UnnestExec" => Self::Unnests,
            _ => return None,
        })
    }
}

/// Which columns of a child's rows a join repeats; `None`: all.
fn repeated(plan: &Arc<dyn ExecutionPlan>, child: usize) -> Option<Arc<[usize]>> {
    let (on, filter, kind) = if let Some(join) = plan.as_any().downcast_ref::<HashJoinExec>() {
        (join.on(), join.filter(), join.join_type())
    } else if let Some(join) = plan.as_any().downcast_ref::<NestedLoopJoinExec>() {
        (&[][..], join.filter(), join.join_type())
    } else if let Some(join) = plan.as_any().downcast_ref::<SortMergeJoinExec>() {
        (&join.on[..], join.filter.as_ref(), &join.join_type)
    } else {
        return None;
    };
    let once = matches!(
        kind,
        JoinType::LeftSemi
            | JoinType::RightSemi
            | JoinType::LeftAnti
            | JoinType::RightAnti
            | JoinType::LeftMark
            | JoinType::RightMark
    );
    if !once {
        return None;
    }
    let side = if child == 0 { JoinSide::Left } else { JoinSide::Right };
    let keys = on.iter().map(|(left, right)| if child == 0 { left } else { right });
    let mut columns: BTreeSet<usize> = keys.flat_map(collect_columns).map(|column| column.index()).collect();
    let asked = filter.into_iter().flat_map(|filter| filter.column_indices());
    columns.extend(asked.filter(|column| column.side == side).map(|column| column.index));
    Some(columns.into_iter().collect())
}

/// Whether windows that go with the rows need rows again that have gone by.
fn looks_back(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let Some(windows) = plan.as_any().downcast_ref::<BoundedWindowAggExec>() else { return true };
    windows.window_expr().iter().any(|window| {
        let by_place = ["lag", "lead", "nth_value"].iter().any(|name| window.name().starts_with(name));
        by_place || !window.get_window_frame().start_bound.is_unbounded()
    })
}

impl PhysicalOptimizerRule for Watches {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let most = Made::of(config).map_or(usize::MAX, Made::most) as u128;
        let rows = config.execution.batch_size;
        let watched = plan.transform_up(|plan| {
            if Above::of(&plan, 0).is_none() {
                return Ok(Transformed::no(plan));
            }
            let watch = |(at, child): (usize, &Arc<dyn ExecutionPlan>)| match Above::of(&plan, at) {
                Some(above) => {
                    Arc::new(Watch { input: Arc::clone(child), above, most, rows }) as Arc<dyn ExecutionPlan>
                }
                None => Arc::clone(child),
            };
            let children = plan.children().into_iter().enumerate().map(watch).collect();
            plan.with_new_children(children).map(Transformed::yes)
        });
        watched.data()
    }

    fn name(&self) -> &str {
        "Watches"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Hands rows on, and says no.
#[derive(Debug)]
struct Watch {
    input: Arc<dyn ExecutionPlan>,
    above: Above,
    /// What a batch of repetitions may take, bytes.
    most: u128,
    /// Rows of a batch.
    rows: usize,
}

impl DisplayAs for Watch {
    fn fmt_as(&self, _kind: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Watch: {:?}", self.above)
    }
}

impl ExecutionPlan for Watch {
    fn name(&self) -> &str {
        "Watch"
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (Some(input), true) = (children.pop(), children.is_empty()) else {
            return internal_err!("a watch has one child");
        };
        let Self { above, most, rows, .. } = &*self;
        Ok(Arc::new(Self { input, above: above.clone(), most: *most, rows: *rows }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let reservation = MemoryConsumer::new("Window").register(context.memory_pool());
        let mut passes = Passes {
            above: self.above.clone(),
            most: self.most,
            rows: self.rows.max(1),
            held: Held { reservation, bytes: 0, rows: 0, widest: 0 },
        };
        let input = self.input.execute(partition, context)?;
        let batches = input.flat_map(move |batch| {
            let passed = batch.and_then(|batch| passes.pass(batch));
            futures::stream::iter(match passed {
                Ok(batches) => batches.into_iter().map(Ok).collect::<Vec<_>>(),
                Err(error) => vec![Err(error)],
            })
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.input.schema(), batches)))
    }
}

/// What went by.
struct Passes {
    above: Above,
    most: u128,
    rows: usize,
    held: Held,
}

/// Rows that the part above holds until it ends.
struct Held {
    reservation: MemoryReservation,
    bytes: u128,
    rows: u128,
    widest: u128,
}

impl Passes {
    /// The batch, or pieces of it.
    fn pass(&mut self, batch: RecordBatch) -> Result<VecDeque<RecordBatch>> {
        match &self.above {
            Above::Holds { texts } => {
                self.held.add(&batch, *texts)?;
                Ok(VecDeque::from([batch]))
            }
            Above::Joins { repeated } => {
                let row = match repeated {
                    Some(columns) => widest(&batch.project(columns)?),
                    None => widest(&batch),
                };
                if row.saturating_mul(self.rows as u128) > self.most {
                    return resources_err!(
                        "a join repeats rows, and one of {row} bytes repeated {} times is more than {} bytes",
                        self.rows,
                        self.most
                    );
                }
                let starts = (0..batch.num_rows()).step_by(self.rows);
                Ok(starts.map(|at| batch.slice(at, self.rows.min(batch.num_rows() - at))).collect())
            }
            Above::Unnests => {
                let (mut left, mut passed) = (vec![batch], VecDeque::new());
                while let Some(batch) = left.pop() {
                    let bytes = unnested(&batch);
                    let rows = batch.num_rows();
                    if bytes <= self.most {
                        passed.push_back(batch);
                    } else if rows > 1 {
                        left.push(batch.slice(rows / 2, rows - rows / 2));
                        left.push(batch.slice(0, rows / 2));
                    } else {
                        return resources_err!(
                            "a row would become rows of {bytes} bytes together; at most {} may be",
                            self.most
                        );
                    }
                }
                Ok(passed)
            }
        }
    }
}

impl Held {
    fn add(&mut self, batch: &RecordBatch, texts: usize) -> Result<()> {
        let Self { reservation, bytes, rows, widest: most } = self;
        *bytes += batch.columns().iter().map(|column| length(column)).sum::<u128>();
        *rows += batch.num_rows() as u128;
        if texts > 0 {
            *most = widest(batch).max(*most);
        }
        let needed = bytes.saturating_add(rows.saturating_mul(*most).saturating_mul(texts as u128));
        reservation.try_resize(usize::try_from(needed).unwrap_or(usize::MAX))
    }
}

/// Bytes of the widest row, or a little more.
fn widest(batch: &RecordBatch) -> u128 {
    let of = |column: &arrow::array::ArrayRef| -> u128 {
        let longest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0) as u128;
        match column.data_type() {
            kind if kind.is_primitive() => 8,
            DataType::Null | DataType::Boolean => 1,
            DataType::Utf8 => longest(&mut column.as_string::<i32>().iter().flatten().map(str::len)),
            DataType::LargeUtf8 => longest(&mut column.as_string::<i64>().iter().flatten().map(str::len)),
            DataType::Utf8View => longest(&mut column.as_string_view().iter().flatten().map(str::len)),
            // of these only the place is repeated
            DataType::Dictionary(_, _) => 16,
            _ => (0..column.len()).map(|row| length(&column.slice(row, 1))).max().unwrap_or(0),
        }
    };
    batch.columns().iter().map(of).sum()
}

/// Bytes of the rows that lists become: the items, and all other columns beside each.
fn unnested(batch: &RecordBatch) -> u128 {
    let items = |row: usize| {
        let of = |column: &arrow::array::ArrayRef| match column.data_type() {
            DataType::List(_) => usize::try_from(column.as_list::<i32>().value_length(row)).unwrap_or(0),
            DataType::LargeList(_) => usize::try_from(column.as_list::<i64>().value_length(row)).unwrap_or(0),
            DataType::FixedSizeList(_, size) => usize::try_from(*size).unwrap_or(0),
            _ => 0,
        };
        batch.columns().iter().map(of).max().unwrap_or(0) as u128
    };
    let is_list = |kind: &DataType| {
        matches!(kind, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(_, _))
    };
    let beside: Vec<usize> =
        (0..batch.num_columns()).filter(|at| !is_list(batch.column(*at).data_type())).collect();
    let beside = batch.project(&beside).map_or(0, |batch| widest(&batch));
    let all: u128 = (0..batch.num_rows()).map(items).sum();
    let lists: u128 = batch.columns().iter().map(|column| length(column)).sum();
    lists.saturating_add(all.saturating_mul(beside.saturating_add(8)))
}
