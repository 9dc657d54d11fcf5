//! A table of the store as DataFusion sees it: one snapshot, its filters, columns and limits handed to the store.

use std::any::Any;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::TableType;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use store::{LogRequest, ScanRequest, Snapshot, Table};

use crate::query::pushdown::{Part, push};
use crate::query::scan::{Source, StoreScan};
use crate::query::session::Reasons;

/// One table of one snapshot.
#[derive(Debug)]
pub(crate) struct StoreTable {
    pub(crate) table: Table,
    pub(crate) snapshot: Snapshot,
    pub(crate) reasons: Reasons,
}

#[tonic::async_trait]
impl TableProvider for StoreTable {
    fn as_any(&self) -> &dyn Any {
        self
    }

    /// The table's columns without `lsn`, which is the store's own and comes last.
    fn schema(&self) -> SchemaRef {
        let schema = self.table.schema();
        let columns: Vec<usize> =
            (0..schema.fields().len()).filter(|at| schema.field(*at).name() != "lsn").collect();
        schema.project(&columns).map_or(schema, Arc::new)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let judge = |filter: &&Expr| match push(self.table, filter) {
            Some(pushed) if pushed.is_exact => TableProviderFilterPushDown::Exact,
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(judge).collect())
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema().project(columns)?),
            None => self.schema(),
        };
        let is_exact =
            filters.iter().all(|filter| push(self.table, filter).is_some_and(|pushed| pushed.is_exact));
        let parts =
            filters.iter().filter_map(|filter| push(self.table, filter)).flat_map(|pushed| pushed.parts);
        let source = source(self.table, parts, &schema, limit.filter(|_| is_exact));
        if let Source::Logs(request) = &source {
            // A regular expression that cannot be read is the query's mistake; say so when it is planned.
            drop(
                self.snapshot
                    .logs(probe(request))
                    .map_err(|error| DataFusionError::Plan(error.to_string()))?,
            );
        }
        let scan =
            StoreScan::new(self.table, self.snapshot.clone(), source, schema, is_exact, self.reasons.clone());
        Ok(Arc::new(scan.leaf()))
    }
}

/// The same request for no rows.
fn probe(request: &LogRequest) -> LogRequest {
    LogRequest { limit: Some(0), ..request.clone() }
}

fn source(
    table: Table,
    parts: impl Iterator<Item = Part>,
    schema: &SchemaRef,
    limit: Option<usize>,
) -> Source {
    let columns: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let mut scan = ScanRequest { columns: Some(columns.clone()), limit, ..ScanRequest::default() };
    // SQL sees bodies as text
    let mut logs = LogRequest { as_shown: true, ..LogRequest::default() };
    let mut is_text = false;
    for part in parts {
        is_text |= matches!(part, Part::Contains(_) | Part::Excludes(_) | Part::Regex(_) | Part::Word(_));
        match part {
            Part::From(ns) => scan.from_ns = scan.from_ns.max(ns),
            Part::To(ns) => scan.to_ns = scan.to_ns.min(ns),
            Part::Nothing => scan.limit = Some(0),
            Part::Equals(column, value) => scan.equals.push((column, value)),
            Part::Within(column, from, upto) => scan.within.push((column, from, upto)),
            Part::Contains(needles) => logs.contains.extend(needles.into_iter().map(String::into_bytes)),
            Part::Excludes(needle) => logs.excludes.push(needle.into_bytes()),
            Part::Regex(pattern) => logs.regexes.push(pattern),
            Part::Word(word) => logs.words.push(word.into_bytes()),
            Part::Says(says) => scan.says.push(says),
        }
    }
    if table != Table::Log || !is_text {
        return Source::Rows(scan);
    }
    Source::Logs(LogRequest {
        from_ns: scan.from_ns,
        to_ns: scan.to_ns,
        columns: Some(columns),
        equals: scan.equals,
        limit: scan.limit,
        ..logs
    })
}
