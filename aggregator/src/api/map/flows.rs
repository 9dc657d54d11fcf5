//! Flows of the range as edges, and who is where.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Map, Value};
use store::Table;

use crate::api::answer::Each;
use crate::api::error::ApiError;
use crate::api::map::graph::{Graph, Node, Traffic, Wanted};
use crate::api::params::Range;
use crate::api::wheres::{Values, clause};
use crate::query::reason::{Reason, ReasonCode};
use crate::query::session::{Session, Take};

/// Groups of flows that are read, those with the most bytes first.
const MOST_GROUPS: usize = 20_000;
/// Addresses whose workloads are learned.
const MOST_ADDRESSES: usize = 50_000;

type Row = Map<String, Value>;

/// Adds the flows between what is wanted and others, and learns who is at which address.
pub(super) async fn read(
    session: &Session,
    range: Range,
    wanted: &Wanted,
    graph: &mut Graph,
) -> Result<(), ApiError> {
    let mut values = Values::default();
    let time = clause(Table::Flow, range, &[], &mut values)?;
    let wanted = wanted.sql(&mut values);
    let conditions = match time.is_empty() {
        true => format!("WHERE {wanted}"),
        false => format!("{time} AND {wanted}"),
    };
    // of those who have no name the address is theirs
    let ends = "CAST(role AS VARCHAR) AS role, namespace, workload, workload_kind, peer_kind, peer_namespace, \
                peer_workload, peer_workload_kind, peer_service, peer_node, \
                CASE WHEN peer_workload IS NULL AND peer_service IS NULL AND peer_node IS NULL THEN peer_address END \
                AS peer_address";
    let query = format!(
        "SELECT {ends}, min(CAST(ts AS BIGINT)) AS first_ns, sum(bytes_sent) AS bytes_sent, \
         sum(bytes_received) AS bytes_received, \
         sum(connects) + sum(accepts) AS connections, sum(failures) AS failures, sum(resets) AS resets, \
         sum(retransmits) AS retransmits, CAST(avg(srtt_us) AS BIGINT) AS srtt_us \
         FROM flow {conditions} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 \
         ORDER BY bytes_sent + bytes_received DESC LIMIT {}",
        MOST_GROUPS + 1
    );
    let mut groups = 0;
    let mut each = Each(|group: Row| {
        groups += 1;
        if groups <= MOST_GROUPS {
            add(&group, graph);
        }
        Take::More
    });
    session.own(&query, values.0, &mut each).await?;
    if groups > MOST_GROUPS {
        let detail = format!("only the {MOST_GROUPS} busiest pairs of workload and peer are on the map");
        session.reasons.add(Reason::new(ReasonCode::RowLimit, detail));
    }
    let mut values = Values::default();
    let time = clause(Table::Flow, range, &[], &mut values)?;
    let named = if time.is_empty() { String::from("WHERE") } else { format!("{time} AND") };
    let query = format!(
        "SELECT CAST(role AS VARCHAR) AS role, peer_address, asked_address, server_port, asked_port, peer_kind, \
         peer_namespace, peer_workload, max(peer_workload_kind) AS peer_workload_kind FROM flow {named} peer_workload IS NOT NULL \
         GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 LIMIT {MOST_ADDRESSES}"
    );
    let mut each = Each(|peer: Row| {
        learn(&peer, graph);
        Take::More
    });
    session.own(&query, values.0, &mut each).await?;
    Ok(())
}

fn text<'a>(row: &'a Row, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(row: &Row, name: &str) -> i64 {
    row.get(name).and_then(Value::as_i64).unwrap_or_default()
}

fn add(row: &Row, graph: &mut Graph) {
    let own = Node::workload(text(row, "namespace"), text(row, "workload"), text(row, "workload_kind"));
    let (Some(own), Some(peer)) = (own, peer(row)) else { return };
    graph.note_time(number(row, "first_ns"));
    let is_server = text(row, "role") == "server";
    let (sent, received) = (number(row, "bytes_sent"), number(row, "bytes_received"));
    let traffic = Traffic {
        // from the client to the server
        bytes_sent: if is_server { received } else { sent },
        bytes_received: if is_server { sent } else { received },
        connections: number(row, "connections"),
        failures: number(row, "failures"),
        resets: number(row, "resets"),
        retransmits: number(row, "retransmits"),
        srtt_us: row.get("srtt_us").and_then(Value::as_i64),
    };
    let (client, server) = if is_server { (peer, own) } else { (own, peer) };
    graph.flow(client, server, is_server, traffic);
}

fn peer(row: &Row) -> Option<Node> {
    let (namespace, kind) = (text(row, "peer_namespace"), text(row, "peer_kind"));
    if let Some(node) = Node::workload(namespace, text(row, "peer_workload"), text(row, "peer_workload_kind"))
    {
        return Some(node);
    }
    let named = |name: String, kind: &str| Some(Node::other(name, kind));
    match (kind, text(row, "peer_service"), text(row, "peer_node"), text(row, "peer_address")) {
        ("kube_apiserver", ..) => named(String::from("kube-apiserver"), kind),
        (_, service, ..) if !service.is_empty() => named(format!("{namespace}/{service}"), "service"),
        (_, _, node, _) if !node.is_empty() => named(format!("node/{node}"), "node"),
        (.., "") => None,
        (.., address) => {
            let kind = if kind.is_empty() || kind == "unknown" { "external" } else { kind };
            Some(match address.parse::<IpAddr>() {
                Ok(address) => Node::address(address.to_canonical(), kind),
                Err(_) => Node::other(address.to_owned(), kind),
            })
        }
    }
}

fn learn(row: &Row, graph: &mut Graph) {
    let (namespace, workload) = (text(row, "peer_namespace"), text(row, "peer_workload"));
    let Some(node) = Node::workload(namespace, workload, text(row, "peer_workload_kind")) else { return };
    let address = |name: &str| text(row, name).parse::<IpAddr>().ok().map(|address| address.to_canonical());
    let port = |name: &str| u16::try_from(number(row, name)).ok().filter(|port| *port > 0);
    let Some(peer) = address("peer_address").filter(|address| !address.is_loopback()) else { return };
    if text(row, "role") == "client" {
        for (address, port) in
            [(Some(peer), port("server_port")), (address("asked_address"), port("asked_port"))]
        {
            if let (Some(address), Some(port)) = (address, port) {
                graph.serves(SocketAddr::new(address, port), &node);
            }
        }
    }
    if text(row, "peer_kind") == "pod" {
        graph.lives(peer, &node);
    }
}
