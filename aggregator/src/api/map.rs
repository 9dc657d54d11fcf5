//! `GET /map`: who asks whom, and how that goes: flows and requests of a range on the same edges.

mod flows;
mod graph;
mod spans;

use proto::error::ErrorCode;
use store::Table;

use crate::api::Api;
use crate::api::answer::{Answer, Body};
use crate::api::error::{ApiError, ErrorBody};
use crate::api::map::graph::{Graph, Wanted};
use crate::api::openapi::{RangeParams, ServiceMap};
use crate::api::params::Params;
use crate::query::gap;
use crate::query::reason::{Reason, ReasonCode};
use crate::query::session::Take;

/// Edges unless the request says otherwise, and the most that it may ask for.
const EDGES: u64 = 100;
const MOST_EDGES: u64 = 1_000;

/// Who asks whom: workloads, and between them bytes, connections, requests, errors and latency.
///
/// Flows give an edge its bytes, connections, failures and retransmits, as the client saw them where it is watched, else as
/// the server did. Spans, and what agents counted beyond them, give it its requests by protocol: the client's and the
/// server's part of one request count once, and so does one that an application tells of and an agent saw. Somebody
/// outside is named as spans name the host behind its address. The last hour by default.
#[utoipa::path(
    get, path = "/api/v1/map", tag = "network",
    params(
        RangeParams,
        ("where" = Vec<String>, Query, description = "`namespace=NAME` or `workload=NAME`: edges with an end that is so"),
        ("limit" = Option<u64>, Query, description = "The most edges: 100, and at most 1000"),
    ),
    responses((status = 200, body = ServiceMap), (status = "default", body = ErrorBody))
)]
pub(crate) async fn map(api: Api, mut params: Params) -> Result<Body, ApiError> {
    let range = params.range(3_600)?;
    let wanted = Wanted::new(params.wheres()?)?;
    let limit = params.number("limit", EDGES, MOST_EDGES)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    params.end()?;
    let now_ns = api.now_ns();
    api.answer("map", move |session| async move {
        let mut graph = Graph::default();
        flows::read(&session, range, &wanted, &mut graph).await?;
        spans::read(&session, range, &mut graph).await?;
        let from_ns = if range.from_ns == i64::MIN { graph.oldest_ns(now_ns) } else { range.from_ns };
        let seconds = range.to_ns.min(now_ns).saturating_sub(from_ns) as f64 / 1e9;
        let drawn = graph.draw(&wanted, limit, seconds.max(1.0));
        let mut answer = Answer::objects(limit.saturating_mul(2).max(1));
        for edge in &drawn.edges {
            if answer.push(edge) == Take::Enough {
                return Err(ApiError::new(ErrorCode::TooLarge, "the map is too large; ask for fewer edges"));
            }
        }
        answer.section("nodes");
        for node in &drawn.nodes {
            answer.push(node);
        }
        answer.say("more_edges", drawn.more_edges.into());
        if drawn.folded > 0 {
            let detail = format!("{} requests are counted between (other) and (other)", drawn.folded);
            session.reasons.add(Reason::new(ReasonCode::RowLimit, detail));
        }
        gap::note(&session, range.ns(), &[Table::Flow, Table::Span, Table::Request]).await?;
        Ok(answer.end(&session.reasons.list()))
    })
    .await
}
