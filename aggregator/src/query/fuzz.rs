//! Texts of queries, as `crate::fuzz` gives them.

use datafusion::common::DFSchema;
use datafusion::prelude::SessionContext;
use store::Table;

use crate::query::{pushdown, text};

/// A whole query, as far as it is judged before it is planned.
pub(crate) fn text(query: &str) {
    if let Err(error) = text::read(query) {
        assert!(!error.to_string().is_empty(), "a refusal says why");
    }
}

/// A condition on each table.
pub(crate) fn filter(condition: &str) {
    if text::read(&format!("SELECT {condition}")).is_err() {
        return;
    }
    let context = SessionContext::new();
    for table in Table::ALL {
        let Ok(schema) = DFSchema::try_from(table.schema()) else { return };
        if let Ok(expression) = context.parse_sql_expr(condition, &schema) {
            drop(pushdown::push(table, &expression));
        }
    }
}
