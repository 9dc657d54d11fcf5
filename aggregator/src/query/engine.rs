//! DataFusion as Wake sets it up. What every query has in common (functions, rules, settings) is made once; a query adds
//! its own tables and memory.

use std::any::Any;
use std::sync::Arc;

use datafusion::catalog::{
    CatalogProvider as _, CatalogProviderList as _, MemoryCatalogProvider, MemoryCatalogProviderList,
    SchemaProvider, TableProvider,
};
use datafusion::common::Result;
use datafusion::dataframe::DataFrame;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::execution::{FunctionRegistry as _, SendableRecordBatchStream};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{SessionConfig, SessionContext};
use store::{Snapshot, Table};

use crate::query::made::Made;
use crate::query::session::Reasons;
use crate::query::table::StoreTable;
use crate::query::{batch, bounded, counts, field_counts, fields, histogram, top, watches, words};

const CATALOG: &str = "wake";
const SCHEMA: &str = "public";
/// Parts that a query's work is cut into.
pub(crate) const PARTITIONS: usize = 2;

/// What queries have in common.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    base: Arc<SessionState>,
    environment: Arc<RuntimeEnv>,
    memory_bytes: usize,
}

impl Engine {
    /// `environment` is where queries spill to, `memory_bytes` what the operators of each may hold before they do; what its
    /// expressions make may take half as much beside it.
    pub(crate) fn build(environment: Arc<RuntimeEnv>, memory_bytes: usize) -> Result<Self> {
        let mut config = SessionConfig::new()
            .with_information_schema(true)
            .with_default_catalog_and_schema(CATALOG, SCHEMA)
            .with_create_default_catalog_and_schema(false)
            .with_target_partitions(PARTITIONS);
        let options = config.options_mut();
        options.sql_parser.collect_spans = true;
        options.execution.time_zone = Some(String::from("UTC"));
        options.explain.show_statistics = false;
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_default_features()
            .with_physical_optimizer_rule(Arc::new(top::RULE))
            .with_physical_optimizer_rule(Arc::new(counts::RULE))
            .with_physical_optimizer_rule(Arc::new(field_counts::RULE))
            .with_physical_optimizer_rule(Arc::new(watches::Watches))
            .build();
        let mut context = SessionContext::new_with_state(state);
        histogram::scalar_functions().into_iter().for_each(|function| context.register_udf(function));
        fields::functions().into_iter().for_each(|function| context.register_udf(function));
        words::functions().into_iter().for_each(|function| context.register_udf(function));
        histogram::aggregate_functions().into_iter().for_each(|function| context.register_udaf(function));
        let known = context.state();
        let functions = bounded::Functions::new(|name| known.scalar_functions().get(name).cloned());
        functions.named().for_each(|function| context.register_udf(function));
        context.register_function_rewrite(Arc::new(functions))?;
        Ok(Self { base: Arc::new(context.state()), environment, memory_bytes })
    }

    /// A context for one query over one view of the store.
    pub(crate) fn context(&self, snapshot: &Snapshot, reasons: &Reasons) -> Result<SessionContext> {
        let environment = RuntimeEnvBuilder::from_runtime_env(&self.environment)
            .with_memory_pool(Arc::new(FairSpillPool::new(self.memory_bytes)))
            .build_arc()?;
        let schema = Arc::new(StoreSchema { snapshot: snapshot.clone(), reasons: reasons.clone() });
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(SCHEMA, schema)?;
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
        let mut config = self.base.config().clone();
        config.options_mut().extensions.insert(Made::new(self.memory_bytes / 2));
        let state = SessionStateBuilder::new_from_existing(SessionState::clone(&self.base))
            .with_config(config)
            .with_runtime_env(environment)
            .with_catalog_list(Arc::new(catalogs))
            .build();
        Ok(SessionContext::new_with_state(state))
    }
}

/// The rows of a query. How many are worked on at once depends on what it asks.
///
/// # Errors
/// If it cannot be planned or begun.
pub(crate) async fn stream(frame: DataFrame) -> Result<SendableRecordBatchStream> {
    let (mut state, plan) = frame.into_parts();
    let plan = state.optimize(&plan)?;
    // a column of a constant goes into calls that make as much again
    let constants = Made::of(state.config_options()).map_or(0, Made::most) / 4;
    state.config_mut().options_mut().execution.batch_size = batch::rows(&plan, constants)?;
    let planner = Arc::clone(state.query_planner());
    let plan = planner.create_physical_plan(&plan, &state).await?;
    execute_stream(plan, state.task_ctx())
}

/// The store's tables, each made when a query names it.
#[derive(Debug)]
struct StoreSchema {
    snapshot: Snapshot,
    reasons: Reasons,
}

#[tonic::async_trait]
impl SchemaProvider for StoreSchema {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn table_names(&self) -> Vec<String> {
        Table::ALL.map(|table| table.name().to_owned()).to_vec()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let table = Table::ALL.into_iter().find(|table| table.name() == name);
        Ok(table.map(|table| {
            let (snapshot, reasons) = (self.snapshot.clone(), self.reasons.clone());
            Arc::new(StoreTable { table, snapshot, reasons }) as Arc<dyn TableProvider>
        }))
    }

    fn table_exist(&self, name: &str) -> bool {
        Table::ALL.into_iter().any(|table| table.name() == name)
    }
}
