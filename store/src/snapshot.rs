//! One consistent view: the head's chunks and the segments of one catalog version. A sealed row is in it once.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use futures::Stream;
use tokio::sync::mpsc;

use crate::registry::SharedRegistry;
use crate::rows::Chunk;
use crate::scan::{self, ScanRequest};
use crate::search::{self, FieldRequest, Histogram, HistogramRequest, LogRequest, Patterns, RequestError};
use crate::segment::{Reader, Segment};
use crate::{ScanError, Scope, Table};

/// Batches of rows. An error that [`is_partial`](ScanError::is_partial) is followed by the rest.
pub type RowStream = Pin<Box<dyn Stream<Item = Result<RecordBatch, ScanError>> + Send>>;

/// Batches that may wait for a slow reader.
const QUEUE: usize = 4;

/// Rows of one moment. Cheap to take and to clone; segments that left the catalog stay readable while it lives.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(crate) version: u64,
    pub(crate) last_lsn: i64,
    pub(crate) chunks: [Arc<Vec<Arc<Chunk>>>; Table::COUNT],
    pub(crate) segments: [Arc<Vec<Arc<Segment>>>; Table::COUNT],
    pub(crate) gone_before: [i64; Table::COUNT],
    pub(crate) reader: Arc<Reader>,
    pub(crate) registry: Arc<SharedRegistry>,
    pub(crate) held: Option<Arc<dyn Any + Send + Sync>>,
    pub(crate) scope: Scope,
}

impl Snapshot {
    /// The catalog version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The position up to which this view is complete.
    pub fn last_lsn(&self) -> i64 {
        self.last_lsn
    }

    /// Rows of the table from before this time may be gone, ns: dropped by age or for want of room, or lost with a part of
    /// the catalog. It outlives restarts and only rises.
    pub fn gone_before_ns(&self, table: Table) -> Option<i64> {
        Some(self.gone_before[table.index()]).filter(|before| *before > i64::MIN)
    }

    /// Keeps `guard` until nothing reads this view any more: neither a clone of it, nor a thread that has not noticed yet
    /// that nobody waits for its answer.
    #[must_use]
    pub fn holding(mut self, guard: impl Send + Sync + 'static) -> Self {
        self.held = Some(Arc::new(guard));
        self
    }

    /// The same view, showing only what `scope` allows. What a view does not show, none that is made from it does.
    #[must_use]
    pub fn within(mut self, scope: &Scope) -> Self {
        self.scope = self.scope.and(scope);
        self
    }

    /// Rows of a table. Must be called within a tokio runtime; reading happens on its blocking threads.
    ///
    /// # Errors
    /// If the request names what the table does not have.
    pub fn scan(&self, table: Table, mut request: ScanRequest) -> Result<RowStream, ScanError> {
        request.scope = self.scope.and(&request.scope);
        let plan = scan::Plan::new(table, request)?;
        let snapshot = self.clone();
        Ok(stream(plan.stop.clone(), move |emit| scan::run(&snapshot, &plan, emit)))
    }

    /// Log rows, newest first by default, with `body` as Binary: see [`log_schema`](crate::log_schema).
    ///
    /// # Errors
    /// If a regex or a condition cannot be understood.
    pub fn logs(&self, mut request: LogRequest) -> Result<RowStream, RequestError> {
        request.scope = self.scope.and(&request.scope);
        let plan = search::Plan::new(request)?;
        let snapshot = self.clone();
        Ok(stream(plan.stop.clone(), move |emit| search::run(&snapshot, &plan, emit)))
    }

    /// How many log lines match, by time and by level or workload.
    ///
    /// # Errors
    /// If a regex, a condition or the step cannot be understood, or there are more than a million buckets.
    pub async fn log_histogram(&self, request: HistogramRequest) -> Result<Histogram, RequestError> {
        self.log_histogram_within(request, search::MAX_BUCKETS).await
    }

    /// The same, of so many buckets at most.
    ///
    /// # Errors
    /// As [`Self::log_histogram`]; [`RequestError::Buckets`] where there are more.
    pub async fn log_histogram_within(
        &self,
        mut request: HistogramRequest,
        most: usize,
    ) -> Result<Histogram, RequestError> {
        request.logs.scope = self.scope.and(&request.logs.scope);
        let plan = search::HistogramPlan::new(request, most)?;
        let snapshot = self.clone();
        let _stops = StopOnDrop(plan.logs.stop.clone());
        let task = tokio::task::spawn_blocking(move || search::histogram(&snapshot, &plan));
        task.await.map_err(|error| RequestError::Task(error.to_string()))?
    }

    /// How many log lines have which value of a field: batches of `value` (text, null where a line has none) and `count`,
    /// in which a value may come several times.
    ///
    /// # Errors
    /// If a condition cannot be understood, or the lines are asked for by their text.
    pub fn log_fields(&self, mut request: FieldRequest) -> Result<RowStream, RequestError> {
        request.logs.scope = self.scope.and(&request.logs.scope);
        let plan = search::FieldPlan::new(request)?;
        let snapshot = self.clone();
        Ok(stream(plan.logs.stop.clone(), move |emit| search::count_fields(&snapshot, &plan, emit)))
    }

    /// The times of the oldest and the newest log row, ns, of whatever namespace: how fine the steps between may be.
    pub fn log_times(&self) -> Option<(i64, i64)> {
        let segments = self.segments(Table::Log).iter().map(|segment| segment.times());
        let times = segments.chain(self.chunks(Table::Log).iter().filter_map(|chunk| chunk.times()));
        times.reduce(|(oldest, newest), (from, to)| (oldest.min(from), newest.max(to)))
    }

    /// Which patterns the log lines of a range have, the most frequent first.
    ///
    /// # Errors
    /// If the counting task ended early.
    pub async fn log_patterns(&self, mut request: search::PatternRequest) -> Result<Patterns, RequestError> {
        request.scope = self.scope.and(&request.scope);
        let snapshot = self.clone();
        let stop = Stop::default();
        let _stops = StopOnDrop(stop.clone());
        let task = tokio::task::spawn_blocking(move || search::log_patterns(&snapshot, &request, &stop));
        task.await.map_err(|error| RequestError::Task(error.to_string()))
    }

    /// The same rows of a table in at most `parts` views that share none, so that several threads may scan them.
    #[must_use]
    pub fn split(&self, table: Table, parts: usize) -> Vec<Self> {
        let at = table.index();
        let parts = parts.clamp(1, self.segments[at].len().max(1));
        let mut views = vec![self.clone(); parts];
        for (part, view) in views.iter_mut().enumerate() {
            // segments of one time lie side by side: dealt out, each part has some of every time
            view.segments[at] =
                Arc::new(self.segments[at].iter().skip(part).step_by(parts).cloned().collect());
            if part > 0 {
                view.chunks[at] = Arc::default();
            }
        }
        views
    }

    pub(crate) fn chunks(&self, table: Table) -> &[Arc<Chunk>] {
        &self.chunks[table.index()]
    }

    pub(crate) fn segments(&self, table: Table) -> &[Arc<Segment>] {
        &self.segments[table.index()]
    }
}

/// What takes rows; false when nobody wants more.
pub(crate) type Emit<'a> = &'a mut dyn FnMut(Result<RecordBatch, ScanError>) -> bool;

/// Says to the thread that reads that nobody waits for it any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) struct StopOnDrop(pub(crate) Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

fn stream(stop: Stop, work: impl FnOnce(Emit<'_>) + Send + 'static) -> RowStream {
    let (sender, receiver) = mpsc::channel(QUEUE);
    // ends by itself when the receiver goes; nothing waits for it then
    let task = tokio::task::spawn_blocking(move || work(&mut |item| sender.blocking_send(item).is_ok()));
    Box::pin(futures::stream::unfold((receiver, Some(task), StopOnDrop(stop)), |mut state| async move {
        let item = match state.0.recv().await {
            Some(item) => item,
            // what ends because a thread broke is not all that there is
            None => Err(ScanError::Task(state.1.take()?.await.err()?)),
        };
        Some((item, state))
    }))
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::{Stop, stream};
    use crate::ScanError;

    #[tokio::test]
    async fn a_reader_that_breaks_is_told_of() {
        let mut rows = stream(Stop::default(), |emit| {
            emit(Err(ScanError::UnknownColumn(String::from("x"))));
            panic!("broken");
        });
        assert!(matches!(rows.next().await, Some(Err(ScanError::UnknownColumn(_)))));
        assert!(matches!(rows.next().await, Some(Err(ScanError::Task(_)))));
        assert!(rows.next().await.is_none());
        let mut rows = stream(Stop::default(), |_| {});
        assert!(rows.next().await.is_none());
    }
}
