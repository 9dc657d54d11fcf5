//! One request's view: a snapshot, its tables as SQL, its share of memory, and why its answer may not be whole.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use daemon::clock::Clock;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::execution::context::SQLOptions;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use futures::StreamExt as _;
use store::{ScanError, Snapshot, Table};

use crate::query::error::QueryError;
use crate::query::reason::{Reason, ReasonCode};
use crate::query::table::StoreTable;
use crate::query::{histogram, text, top};

/// The most reasons that an answer names.
const MOST_REASONS: usize = 100;

/// Why an answer is not whole; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reasons(Arc<Mutex<Vec<Reason>>>);

impl Reasons {
    pub(crate) fn add(&self, reason: Reason) {
        let mut reasons = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if reasons.len() < MOST_REASONS && !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }

    pub(crate) fn add_scan(&self, error: &ScanError) {
        if let Some(reason) = Reason::of_scan(error) {
            self.add(reason);
        }
    }

    pub(crate) fn list(&self) -> Vec<Reason> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether an answer takes more rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    More,
    Enough,
}

/// Takes the rows of an answer as they come.
pub(crate) trait Sink {
    /// The columns, before the first row.
    fn columns(&mut self, schema: &SchemaRef);
    /// Some rows.
    fn rows(&mut self, batch: &RecordBatch) -> Take;
}

/// One request's view of the store.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) snapshot: Snapshot,
    pub(crate) reasons: Reasons,
    pub(crate) clock: Clock,
    /// On the clock's monotonic scale.
    pub(crate) deadline: Duration,
    environment: Arc<RuntimeEnv>,
    memory_bytes: usize,
}

impl Session {
    pub(crate) fn new(
        snapshot: Snapshot,
        clock: Clock,
        deadline: Duration,
        environment: Arc<RuntimeEnv>,
        memory_bytes: usize,
    ) -> Self {
        Self { snapshot, reasons: Reasons::default(), clock, deadline, environment, memory_bytes }
    }

    /// Time that is left.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_sub(self.clock.monotonic())
    }

    /// A person's query: read only, of bounded size. Cuts the answer when the sink has enough.
    ///
    /// # Errors
    /// If it cannot be understood, changes anything, or needs more memory than it may have.
    pub(crate) async fn query(&self, query: &str, sink: &mut impl Sink) -> Result<(), QueryError> {
        let context = self.context()?;
        let statement = text::read(query)?;
        let plan = context.state().statement_to_plan(statement).await.map_err(QueryError::from_engine)?;
        let options =
            SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        options.verify_plan(&plan).map_err(|_refused| text::read_only(plan_name(&plan)))?;
        let frame = context.execute_logical_plan(plan).await.map_err(QueryError::from_engine)?;
        self.run(frame, sink).await
    }

    /// An endpoint's own query, its values as parameters.
    ///
    /// # Errors
    /// If it needs more memory than it may have, or the store cannot be read.
    pub(crate) async fn own(
        &self,
        query: &str,
        values: Vec<ScalarValue>,
        sink: &mut impl Sink,
    ) -> Result<(), QueryError> {
        let context = self.context()?;
        let frame = context.sql(query).await.map_err(QueryError::from_engine)?;
        let values = ParamValues::from(values);
        let frame = frame.with_param_values(values).map_err(QueryError::from_engine)?;
        self.run(frame, sink).await
    }

    async fn run(&self, frame: DataFrame, sink: &mut impl Sink) -> Result<(), QueryError> {
        let mut stream = frame.execute_stream().await.map_err(QueryError::from_engine)?;
        sink.columns(&stream.schema());
        while let Some(batch) = stream.next().await {
            if sink.rows(&batch.map_err(QueryError::from_engine)?) == Take::Enough {
                let reason = "the answer is cut at the most rows or bytes that one may have";
                self.reasons.add(Reason::new(ReasonCode::RowLimit, reason));
                break;
            }
        }
        Ok(())
    }

    fn context(&self) -> Result<SessionContext, QueryError> {
        let environment = RuntimeEnvBuilder::from_runtime_env(&self.environment)
            .with_memory_pool(Arc::new(FairSpillPool::new(self.memory_bytes)))
            .build_arc()
            .map_err(QueryError::from_engine)?;
        let mut config = SessionConfig::new()
            .with_information_schema(true)
            .with_default_catalog_and_schema("wake", "public")
            .with_create_default_catalog_and_schema(true)
            .with_target_partitions(2);
        let options = config.options_mut();
        options.sql_parser.collect_spans = true;
        options.execution.time_zone = Some(String::from("UTC"));
        options.explain.show_statistics = false;
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(environment)
            .with_default_features()
            .with_physical_optimizer_rule(Arc::new(top::TopByTime))
            .build();
        let context = SessionContext::new_with_state(state);
        for function in histogram::scalar_functions() {
            context.register_udf(function);
        }
        for function in histogram::aggregate_functions() {
            context.register_udaf(function);
        }
        for table in Table::ALL {
            let provider =
                StoreTable { table, snapshot: self.snapshot.clone(), reasons: self.reasons.clone() };
            context.register_table(table.name(), Arc::new(provider)).map_err(QueryError::from_engine)?;
        }
        Ok(context)
    }
}

fn plan_name(plan: &LogicalPlan) -> String {
    plan.display().to_string()
}
