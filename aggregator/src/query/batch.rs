//! How many rows a query's parts work on at once: fewer where each could be wide.
//!
//! A constant becomes a column of as many rows, a join repeats a row of one side for rows of the other, and what filters
//! gathers rows until there are so many: their number times the width of a row is memory that nobody counts.

use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};

/// Rows where nothing is wide: the engine's own number.
const ROWS: usize = 8_192;
/// Rows where bodies of log lines, of up to 1 MiB, are read.
const ROWS_OF_BODIES: usize = 1_024;
/// Rows where rows are repeated.
const ROWS_OF_JOINS: usize = 512;
/// Constants below this are of no weight, bytes.
const SMALL: usize = 256;

/// Rows at once for this plan, after it was optimised, so that its constants take at most `most` bytes as columns.
pub(super) fn rows(plan: &LogicalPlan, most: usize) -> Result<usize> {
    let (mut rows, mut constants) = (ROWS, 0_usize);
    plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::Join(_) | LogicalPlan::Unnest(_) => rows = rows.min(ROWS_OF_JOINS),
            LogicalPlan::TableScan(scan)
                if scan.projected_schema.has_column_with_unqualified_name("body") =>
            {
                rows = rows.min(ROWS_OF_BODIES);
            }
            _ => {}
        }
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::Literal(value, _) = part {
                    let bytes = value.size();
                    constants = constants.saturating_add(if bytes > SMALL { bytes } else { 0 });
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(most.checked_div(constants).map_or(rows, |fit| rows.min(fit)).max(1))
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::{ROWS, ROWS_OF_JOINS, rows};

    #[tokio::test]
    async fn wide_constants_and_joins_make_batches_small() {
        let context = SessionContext::new();
        let of = async |query: String| {
            let plan = context.sql(&query).await.unwrap().into_optimized_plan().unwrap();
            rows(&plan, 32 << 20).unwrap()
        };
        assert_eq!(of("SELECT value, 'x' FROM generate_series(1, 9)".to_owned()).await, ROWS);
        let long = "y".repeat(400_000);
        assert_eq!(of(format!("SELECT '{long}' FROM generate_series(1, 9)")).await, 83);
        assert_eq!(of("SELECT repeat('x', 16000000), value FROM generate_series(1, 9)".to_owned()).await, 2);
        let join = "SELECT a.value FROM generate_series(1, 9) a, generate_series(1, 9) b";
        assert_eq!(of(join.to_owned()).await, ROWS_OF_JOINS);
        assert_eq!(
            of("SELECT unnest(make_array(value, 1)) FROM generate_series(1, 9)".to_owned()).await,
            ROWS_OF_JOINS
        );
        let subquery = "SELECT value FROM generate_series(1, 9) WHERE value IN (SELECT value FROM generate_series(1, 3))";
        assert_eq!(of(subquery.to_owned()).await, ROWS_OF_JOINS);
    }
}
