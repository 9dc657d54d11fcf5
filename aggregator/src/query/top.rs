//! `ORDER BY ts DESC LIMIT n` is a question that the store answers by reading the newest segments first.
//!
//! A physical rule: a sort with a limit, by `ts` alone, directly over a scan that filters exactly, becomes that scan in
//! that order with that limit.

use std::sync::Arc;

use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::sorts::sort::SortExec;
use store::Order;

use crate::query::plan::Rule;
use crate::query::scan::leaf;

/// The most rows that the store is asked to order.
const MOST_ROWS: usize = 100_000;

/// The rule.
pub(crate) const RULE: Rule = Rule { name: "TopByTime", replace: top };

fn top(plan: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
    let sort = plan.as_any().downcast_ref::<SortExec>()?;
    let limit = sort.fetch().filter(|limit| *limit <= MOST_ROWS)?;
    let mut expressions = sort.expr().iter();
    let first = expressions.next()?;
    if expressions.next().is_some() || first.expr.as_any().downcast_ref::<Column>()?.name() != "ts" {
        return None;
    }
    let order = if first.options.descending { Order::NewestFirst } else { Order::OldestFirst };
    Some(Arc::new(leaf(sort.input())?.top(order, limit)?.leaf()))
}
