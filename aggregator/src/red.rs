//! RED: rate, errors and duration of requests as metrics of the workloads, with the names that Grafana asks for.
//!
//! ```text
//! store (rows since the last look) ─▶ follow ─┬─▶ calls (traces_spanmetrics_*)
//!                                             └─▶ pairs ─▶ graph (traces_service_graph_*) ─▶ /metrics
//! ```
//! What applications send over OTLP is counted by its spans. What agents saw is counted by the rows of `request`, which have
//! every request, also those whose span was given up: `calls` takes these alone; `graph` takes spans, whose ends are known
//! best, and adds what the rows have beyond them. Spans are read once each after they are stored, sealed or not, so that no acknowledgement waits for them. Counting
//! begins with the process: what a restart replays is not counted again, and counters begin at zero, as Prometheus
//! expects. Series are bounded: what is beyond goes into `other` and is counted.
//!
//! Does not: keep anything, nor answer for a time range (that is `api::map`).

mod calls;
mod expose;
mod follow;
mod graph;
mod seconds;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use daemon::metrics::Registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use self::calls::Calls;
use self::graph::Graph;
use crate::requests::counted::Weight;
use crate::requests::pairs::{Alone, Pairs};

pub(crate) use self::expose::described;
pub(crate) use self::follow::run;

#[cfg(test)]
mod tests;

/// Spans that may wait for their other end.
const MOST_WAITING: usize = 50_000;

/// The series, shared by who counts and who scrapes.
#[derive(Clone, Debug)]
pub(crate) struct Red {
    state: Arc<Mutex<State>>,
    metrics: RedMetrics,
}

#[derive(Debug)]
struct State {
    calls: Calls,
    pairs: Pairs,
    graph: Graph,
    alone: VecDeque<Waits>,
}

/// Requests that are no spans, counted once it is known who their ends are.
#[derive(Debug)]
struct Waits {
    since: i64,
    alone: Alone,
    weight: Weight,
}

impl Red {
    /// Series without any value; those of workloads are registered in `requests`, apart from what counting counts of itself.
    pub(crate) fn register(requests: &Registry, root: &Registry) -> Self {
        let state = State {
            calls: Calls::default(),
            pairs: Pairs::new(MOST_WAITING),
            graph: Graph::default(),
            alone: VecDeque::new(),
        };
        let red = Self { state: Arc::new(Mutex::new(state)), metrics: RedMetrics::register(root) };
        requests.register_collector(Box::new(expose::RedCollector(red.clone())), described());
        red
    }

    /// A thread that panicked while it held the lock left at most one span half counted.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counting counts of itself.
#[derive(Clone, Debug)]
pub(crate) struct RedMetrics {
    spans: Counter,
    requests: Counter,
    folded: Counter,
    unpaired: Counter,
    unread: Counter,
    series: Gauge<i64>,
    waiting: Gauge<i64>,
}

impl RedMetrics {
    pub(crate) fn register(root: &Registry) -> Self {
        let registry = root.with_prefix("red");
        Self {
            spans: registry.register(
                "processed_spans",
                "Spans read to be counted",
                Counter::default(),
            ),
            requests: registry.register(
                "processed_requests",
                "Requests that agents have counted, with or without a span, and that are counted in traces_spanmetrics",
                Counter::default(),
            ),
            folded: registry.register(
                "folded_spans",
                "Spans and requests counted as `other`, beyond the bound on series",
                Counter::default(),
            ),
            unpaired: registry.register(
                "unpaired_spans",
                "Servers' spans that traces_service_graph counts as no request: they name a caller whose span did not come, or their client is seen to ask and has counted it (how long they took is told then)",
                Counter::default(),
            ),
            unread: registry.register(
                "unread_ranges",
                "Times that stored spans could not be read to be counted",
                Counter::default(),
            ),
            series: registry.register(
                "series",
                "Endpoints and edges that have series of their own",
                Gauge::default(),
            ),
            waiting: registry.register(
                "waiting_spans",
                "Spans that wait for the span of the other end",
                Gauge::default(),
            ),
        }
    }
}
