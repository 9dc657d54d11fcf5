//! `ORDER BY ts DESC LIMIT n` is a question that the store answers by reading the newest segments first.
//!
//! A physical rule: a sort with a limit, by `ts` alone, directly over a scan that filters exactly, becomes that scan in
//! that order with that limit.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::sorts::sort::SortExec;
use store::Order;

use crate::query::scan::{StoreScan, leaf};

/// The most rows that the store is asked to order.
const MOST_ROWS: usize = 100_000;

/// The rule.
#[derive(Debug)]
pub(crate) struct TopByTime;

impl PhysicalOptimizerRule for TopByTime {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_down(|plan| match top(&plan) {
            Some(scan) => Ok(Transformed::yes(Arc::new(scan) as Arc<dyn ExecutionPlan>)),
            None => Ok(Transformed::no(plan)),
        })
        .data()
    }

    fn name(&self) -> &str {
        "TopByTime"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn top(plan: &Arc<dyn ExecutionPlan>) -> Option<StoreScan> {
    let sort = plan.as_any().downcast_ref::<SortExec>()?;
    let limit = sort.fetch().filter(|limit| *limit <= MOST_ROWS)?;
    let mut expressions = sort.expr().iter();
    let first = expressions.next()?;
    if expressions.next().is_some() || first.expr.as_any().downcast_ref::<Column>()?.name() != "ts" {
        return None;
    }
    let order = if first.options.descending { Order::NewestFirst } else { Order::OldestFirst };
    leaf(sort.input())?.top(order, limit)
}
