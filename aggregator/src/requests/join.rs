//! Which server's span is the other end of which client's span, and how sure that is.
//!
//! In: spans of both ends of connections, those of the neighbouring requests too. Out: joins, each with its confidence,
//! and what stays open. Pure; the numbers are explained in `docs/requests.md`.
//!
//! Two spans can be one request if the client's end of the connection is the same, the server's part lies within the
//! client's as far as clocks agree, and nothing that both say differs. Where one span fits several, the one that needs
//! no error of a clock is taken, if there is exactly one; spans of one connection that stay indistinguishable are told
//! apart by their order, if as many were seen at both ends, and stay open otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::requests::span::{Role, Span};

#[cfg(test)]
mod tests;

/// How far two clocks may differ at all, ns: of two nodes, and of one.
const NODES_NS: i64 = 20_000_000;
const NODE_NS: i64 = 200_000;
/// Errors of clocks that are as good as the same, ns.
const SAME_NS: i64 = 50_000;
/// Spans of one end of one connection that are looked at.
const MOST_OF_ONE: usize = 512;
/// What is less sure is not told.
const LEAST: f64 = 0.3;

/// A span of one end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) role: Role,
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) node: String,
    /// Where the client's address means something.
    pub(crate) place: String,
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) start_ns: i64,
    pub(crate) end_ns: i64,
    /// What the request was, as far as both ends see it.
    said: [Option<String>; 3],
    /// Its status, which a proxy between them might change.
    status: Option<String>,
}

impl End {
    /// What a span says of its end; `None` if it is not of the wire, or does not say.
    pub(crate) fn of(span: &Span<'_>) -> Option<Self> {
        let role = span.role().filter(|_| span.is_wake)?;
        let ends = span.ends()?;
        let text = |keys: &[&str]| span.attributes.first(keys).map(str::to_owned);
        Some(Self {
            role,
            trace_id: span.trace_id.to_owned(),
            span_id: span.span_id.to_owned(),
            node: span.node.to_owned(),
            place: span.place(&ends),
            client: ends.client,
            server: ends.server,
            start_ns: span.start_ns,
            end_ns: span.start_ns.saturating_add(span.duration_ns),
            said: [
                text(&["http.request.method", "rpc.method", "db.operation.name", "messaging.operation.name"]),
                text(&["url.path", "http.route", "db.query.summary", "dns.question.name"]),
                text(&["network.connection.sequence"]),
            ],
            status: text(&["http.response.status_code", "rpc.grpc.status_code", "db.response.status_code"]),
        })
    }

    /// Whether its connection is this one, as far as the client's end tells.
    pub(crate) fn connection(&self) -> (&str, SocketAddr) {
        (&self.place, self.client)
    }
}

/// How two spans were found to be one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// The connection and the time leave one.
    Connection,
    /// The others that fit have another end already.
    Elimination,
    /// The order on the connection.
    Order,
    /// Nothing tells which it is.
    Open,
}

impl By {
    /// As answers name it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Elimination => "elimination",
            Self::Order => "order",
            Self::Open => "open",
        }
    }
}

/// What became of a client's span.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Join {
    /// Its place among the ends that were given.
    pub(crate) client: usize,
    /// The other end; `None` where several fit and nothing tells them apart.
    pub(crate) server: Option<usize>,
    /// From 0 to 1; 0 of what is open.
    pub(crate) confidence: f64,
    /// Server's spans that could be it.
    pub(crate) candidates: usize,
    pub(crate) by: By,
}

/// Addresses that clients ask for, each with the real ones that were found behind it.
pub(crate) type Behind = BTreeSet<(SocketAddr, SocketAddr)>;

/// Joins what can be joined, in the order of the client's spans. A client's span that nothing fits is not in the answer.
pub(crate) fn join(ends: &[End], behind: &Behind) -> Vec<Join> {
    let mut connections: BTreeMap<(&str, SocketAddr), [Vec<usize>; 2]> = BTreeMap::new();
    for (at, end) in ends.iter().enumerate() {
        let sides = connections.entry(end.connection()).or_default();
        let side = &mut sides[usize::from(end.role == Role::Server)];
        if side.len() < MOST_OF_ONE {
            side.push(at);
        }
    }
    let mut joins: Vec<Join> = connections
        .into_values()
        .filter(|sides| sides.iter().all(|side| !side.is_empty()))
        .flat_map(|[clients, servers]| Connection::new(ends, behind, clients, servers).joins())
        .collect();
    joins.sort_by_key(|join| join.client);
    joins
}

/// The spans of both ends of one connection.
struct Connection<'a> {
    ends: &'a [End],
    behind: &'a Behind,
    clients: Vec<usize>,
    servers: Vec<usize>,
    /// The error of clocks that a pair needs, ns; `None` if it cannot be one.
    errors: Vec<Vec<Option<i64>>>,
    /// The server's span of each client's.
    found: Vec<Option<(usize, By)>>,
    /// Whether a server's span has its client's.
    taken: Vec<bool>,
}

impl<'a> Connection<'a> {
    fn new(ends: &'a [End], behind: &'a Behind, mut clients: Vec<usize>, mut servers: Vec<usize>) -> Self {
        let by_time = |at: &usize| (ends[*at].start_ns, ends[*at].end_ns, *at);
        clients.sort_by_key(by_time);
        servers.sort_by_key(by_time);
        let error = |client: &usize, server: &usize| error_ns(&ends[*client], &ends[*server]);
        let mut errors: Vec<Vec<Option<i64>>> = clients
            .iter()
            .map(|client| servers.iter().map(|server| error(client, server)).collect())
            .collect();
        // an address that was not resolved is another one at each end; where the same one is there, it is it
        for (client, row) in clients.iter().zip(&mut errors) {
            let is_same = |server: &usize| {
                let (asked, real) = (ends[*client].server, ends[*server].server);
                asked == real || behind.contains(&(asked, real))
            };
            if row.iter().zip(&servers).any(|(error, server)| error.is_some() && is_same(server)) {
                row.iter_mut().zip(&servers).for_each(|(error, server)| {
                    if !is_same(server) {
                        *error = None;
                    }
                });
            }
        }
        let found = vec![None; clients.len()];
        let taken = vec![false; servers.len()];
        Self { ends, behind, clients, servers, errors, found, taken }
    }

    fn joins(mut self) -> Vec<Join> {
        let near = self.near();
        self.take_single(&near);
        self.take_in_order(&near);
        let mut joins = Vec::new();
        for (at, client) in self.clients.iter().enumerate() {
            let candidates = self.errors[at].iter().flatten().count();
            let open = Join { client: *client, server: None, confidence: 0.0, candidates, by: By::Open };
            match self.found[at] {
                Some((server, by)) => {
                    let confidence = self.confidence(at, server, by);
                    if confidence >= LEAST {
                        let server = Some(self.servers[server]);
                        joins.push(Join { server, confidence, by, ..open });
                    }
                }
                // what could be its other end may be another's by now: then there is none
                None if near[at].iter().any(|server| !self.is_taken(*server)) => joins.push(open),
                None => {}
            }
        }
        joins
    }

    /// The pairs that are the best, or as good, for both: for each client's span its servers'.
    fn near(&self) -> Vec<Vec<usize>> {
        let least_of_server: Vec<Option<i64>> = (0..self.servers.len())
            .map(|server| self.errors.iter().filter_map(|row| row[server]).min())
            .collect();
        let is_near = |error: i64, least: Option<i64>| least.is_some_and(|least| error <= least + SAME_NS);
        self.errors
            .iter()
            .map(|row| {
                let least = row.iter().flatten().min().copied();
                let near = |(server, error): (usize, &Option<i64>)| {
                    let error = (*error)?;
                    (is_near(error, least) && is_near(error, least_of_server[server])).then_some(server)
                };
                row.iter().enumerate().filter_map(near).collect()
            })
            .collect()
    }

    fn is_taken(&self, server: usize) -> bool {
        self.taken[server]
    }

    fn put(&mut self, client: usize, server: usize, by: By) {
        self.found[client] = Some((server, by));
        self.taken[server] = true;
    }

    /// The clients' spans of each server's.
    fn claims(&self, near: &[Vec<usize>]) -> Vec<Vec<usize>> {
        let mut claims = vec![Vec::new(); self.servers.len()];
        for (client, servers) in near.iter().enumerate() {
            servers.iter().for_each(|server| claims[*server].push(client));
        }
        claims
    }

    /// Pairs of which one side has nobody else; each one may leave another with nobody else.
    fn take_single(&mut self, near: &[Vec<usize>]) {
        let claims = self.claims(near);
        let mut by = By::Connection;
        loop {
            // what each client's span has left, if it is one
            let singles: Vec<Option<usize>> = near
                .iter()
                .enumerate()
                .map(|(client, servers)| {
                    let mut left = servers.iter().filter(|server| !self.is_taken(**server));
                    let single = left.next().filter(|_| left.next().is_none());
                    single.copied().filter(|_| self.found[client].is_none())
                })
                .collect();
            let mut new = Vec::new();
            for (client, server) in
                singles.iter().enumerate().filter_map(|(at, single)| Some((at, (*single)?)))
            {
                // of two that have nobody but this one, neither has it
                let rivals = claims[server].iter().filter(|rival| singles[**rival] == Some(server)).count();
                if rivals == 1 {
                    let is_only = claims[server].len() == 1 && near[client].len() == 1;
                    new.push((client, server, if is_only { by } else { By::Elimination }));
                }
            }
            if new.is_empty() {
                return;
            }
            for (client, server, by) in new {
                self.put(client, server, by);
            }
            by = By::Elimination;
        }
    }

    /// What is left and cannot be told apart: if each end has as many, in the order of the connection.
    fn take_in_order(&mut self, near: &[Vec<usize>]) {
        let claims = self.claims(near);
        let (mut seen, mut reached) = (vec![false; self.clients.len()], vec![false; self.servers.len()]);
        for first in 0..self.clients.len() {
            if seen[first] || self.found[first].is_some() {
                continue;
            }
            // everything that hangs together by what fits
            let (mut clients, mut servers) = (vec![first], Vec::new());
            seen[first] = true;
            let mut at = 0;
            while at < clients.len() {
                for server in &near[clients[at]] {
                    if self.is_taken(*server) || std::mem::replace(&mut reached[*server], true) {
                        continue;
                    }
                    servers.push(*server);
                    for other in &claims[*server] {
                        if self.found[*other].is_none() && !std::mem::replace(&mut seen[*other], true) {
                            clients.push(*other);
                        }
                    }
                }
                at += 1;
            }
            clients.sort_unstable();
            servers.sort_unstable();
            let starts = |side: &[usize], all: &[usize]| -> Vec<i64> {
                side.iter().map(|at| self.ends[all[*at]].start_ns).collect()
            };
            let is_ordered = |starts: Vec<i64>| starts.windows(2).all(|two| two[0] < two[1]);
            let fits = clients.iter().zip(&servers).all(|(client, server)| near[*client].contains(server));
            if clients.len() == servers.len()
                && fits
                && is_ordered(starts(&clients, &self.clients))
                && is_ordered(starts(&servers, &self.servers))
            {
                for (client, server) in clients.into_iter().zip(servers) {
                    self.put(client, server, By::Order);
                }
            }
        }
    }

    fn confidence(&self, at: usize, found: usize, by: By) -> f64 {
        let (client, server) = (&self.ends[self.clients[at]], &self.ends[self.servers[found]]);
        let is_one_node = !client.node.is_empty() && client.node == server.node;
        let error = self.errors[at][found].unwrap_or_default();
        // by how much clocks would have to be wrong for another one to fit
        let of_row = self.errors[at].iter().enumerate().filter(|(other, _)| *other != found);
        let of_column = self.errors.iter().enumerate().filter(|(other, _)| *other != at);
        let others = of_row.filter_map(|(_, error)| *error);
        let others = others.chain(of_column.filter_map(|(_, row)| row[found]));
        let runner_up = others.min();
        let mut confidence = match (client.server, server.server) {
            (asked, real) if asked == real => 0.99,
            ends if self.behind.contains(&ends) => 0.97,
            _ => 0.88,
        };
        confidence *= match (by, runner_up.map(|other| other.saturating_sub(error))) {
            (By::Order, _) => 0.75,
            (By::Elimination, _) => 0.85,
            (_, None) => 1.0,
            (_, Some(_)) if is_one_node => 0.97,
            (_, Some(5_000_000..)) => 0.97,
            (_, Some(2_000_000..5_000_000)) => 0.92,
            (_, Some(500_000..2_000_000)) => 0.82,
            (_, Some(_)) => 0.65,
        };
        confidence *= match error {
            ..=100_000 => 1.0,
            100_001..=1_000_000 => 0.95,
            1_000_001..=5_000_000 => 0.88,
            _ => 0.75,
        };
        if differ(client.status.as_ref(), server.status.as_ref()) {
            confidence *= 0.5;
        }
        confidence
    }
}

/// The error of clocks by which the server's part would lie within the client's, ns; `None` if they cannot be one request.
fn error_ns(client: &End, server: &End) -> Option<i64> {
    let is_one_node = !client.node.is_empty() && client.node == server.node;
    let most = if is_one_node { NODE_NS } else { NODES_NS };
    let early = client.start_ns.saturating_sub(server.start_ns);
    let late = server.end_ns.saturating_sub(client.end_ns);
    // what lasted longer than the client waited is not what it waited for, whatever the clocks say
    let longer = late.saturating_add(early);
    let error = early.max(late).max(longer).max(0);
    let differs =
        client.said.iter().zip(&server.said).any(|(one, other)| differ(one.as_ref(), other.as_ref()));
    (error <= most && !differs).then_some(error)
}

/// Whether both are there and not the same.
fn differ(one: Option<&String>, other: Option<&String>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one != other)
}
