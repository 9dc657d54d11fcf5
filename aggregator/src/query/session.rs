//! One request's view: a snapshot, its tables as SQL, its share of memory, and why its answer may not be whole.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use daemon::clock::Clock;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SessionContext};
use futures::StreamExt as _;
use store::{RowStream, ScanError, ScanRequest, Scope, Snapshot, Table};

use crate::query::engine::Engine;
use crate::query::error::QueryError;
use crate::query::reason::{Reason, ReasonCode};
use crate::query::{Limits, engine, gap, text};

/// The most reasons that an answer names.
const MOST_REASONS: usize = 100;

/// Why an answer is not whole; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reasons(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    reasons: Vec<Reason>,
    scanned: BTreeSet<(Table, (i64, i64))>,
}

impl Reasons {
    pub(crate) fn add(&self, reason: Reason) {
        let reasons = &mut self.lock().reasons;
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
        self.lock().reasons.clone()
    }

    /// Rows of this table with `from <= ts < to` were read for the answer.
    pub(crate) fn add_scanned(&self, table: Table, range: (i64, i64)) {
        let scanned = &mut self.lock().scanned;
        if scanned.len() < MOST_REASONS {
            scanned.insert((table, range));
        }
    }

    fn scanned(&self) -> BTreeSet<(Table, (i64, i64))> {
        self.lock().scanned.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

/// The ledger of losses of a whole view: what an answer lacks must be known to whoever gets it, whatever they may see.
#[derive(Debug)]
struct Ledger(Snapshot);

/// One request's view of the store.
#[derive(Debug)]
pub(crate) struct Session {
    /// Narrowed to the scope that the session was made with.
    pub(crate) snapshot: Snapshot,
    ledger: Ledger,
    /// Whether the caller sees everything.
    pub(crate) is_whole: bool,
    pub(crate) reasons: Reasons,
    pub(crate) clock: Clock,
    /// On the clock's monotonic scale.
    pub(crate) deadline: Duration,
    retention_s: [u64; Table::COUNT],
    engine: Engine,
}

impl Session {
    pub(crate) fn new(
        snapshot: Snapshot,
        scope: &Scope,
        clock: Clock,
        deadline: Duration,
        limits: &Limits,
        engine: Engine,
    ) -> Self {
        let retention_s = limits.retention_s;
        let (ledger, is_whole) = (Ledger(snapshot.clone()), scope.is_all());
        let (snapshot, reasons) = (snapshot.within(scope), Reasons::default());
        Self { snapshot, ledger, is_whole, reasons, clock, deadline, retention_s, engine }
    }

    /// Rows of the ledger of losses, of every node.
    ///
    /// # Errors
    /// If the request names what the ledger does not have.
    pub(crate) fn losses(&self, request: ScanRequest) -> Result<RowStream, ScanError> {
        self.ledger.0.scan(Table::Loss, request)
    }

    /// Rows of the table from before this time may have gone, ns.
    pub(crate) fn kept_since_ns(&self, table: Table) -> i64 {
        let at = Table::ALL.iter().position(|other| *other == table).unwrap_or_default();
        let kept_ns = u128::from(self.retention_s[at]) * 1_000_000_000;
        let now_ns = i64::try_from(self.clock.now_unix_ns()).unwrap_or(i64::MAX);
        now_ns.saturating_sub(i64::try_from(kept_ns).unwrap_or(i64::MAX))
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
        self.run(frame, sink).await?;
        for (table, range) in self.reasons.scanned() {
            gap::note(self, range, &[table]).await?;
        }
        Ok(())
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
        let mut stream = engine::stream(frame).await.map_err(QueryError::from_engine)?;
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
        self.engine.context(&self.snapshot, &self.reasons).map_err(QueryError::from_engine)
    }
}

fn plan_name(plan: &LogicalPlan) -> String {
    plan.display().to_string()
}
