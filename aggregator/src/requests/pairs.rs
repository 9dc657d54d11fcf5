//! The client's and the server's span of one request, found while spans pass by.
//!
//! Spans of applications (OTLP) name each other: the server's parent is the client's span. Spans that were seen on the wire
//! do not; theirs meet by the client's end of the connection and by time. What finds no other end within the caller's
//! patience, or the bound on what may wait, goes on alone.
//!
//! Does not: say who the other end of a lone span is, nor how sure a pair is (that is `join`).

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::requests::span::{Ends, Role, Span};
use alone::Whereabouts;

pub(crate) use alone::Alone;

mod alone;
#[cfg(test)]
mod tests;

/// Spans of one connection that may wait; a pipelined or multiplexed one has several.
const MOST_OF_ONE: usize = 256;
/// How far the clocks of two nodes may differ, ns.
const CLOCKS_NS: i64 = 50_000_000;
/// Names of one kind that are kept.
const MOST_NAMES: usize = 16_384;
/// The longest name, characters.
const MOST_LETTERS: usize = 128;

/// Who is at one end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Party {
    pub(crate) namespace: String,
    pub(crate) workload: String,
    pub(crate) kind: String,
    /// `service.name`, else the workload.
    pub(crate) service: String,
}

/// What stands between the ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Channel {
    Direct,
    Database,
    Messaging,
}

/// One end of a request.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    pub(crate) party: Arc<Party>,
    pub(crate) start_ns: i64,
    pub(crate) duration_ns: i64,
    pub(crate) failed: bool,
    /// '' where nothing says what is spoken.
    pub(crate) protocol: Arc<str>,
    pub(crate) channel: Channel,
    pub(crate) is_wake: bool,
    /// It says that somebody called it.
    pub(crate) has_parent: bool,
    /// Where the other end is.
    pub(crate) peer: Option<SocketAddr>,
    /// What it calls the other end.
    pub(crate) peer_name: Option<Arc<str>>,
}

/// A request as far as its ends are known; one of them always is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) client: Option<&'a Side>,
    pub(crate) server: Option<&'a Side>,
    /// Of a server alone: somebody at its client's address is seen to ask for its port, and has counted the request.
    pub(crate) is_asked: bool,
    /// Of one end alone: who the other is, where spans of the same address say so.
    pub(crate) other: Option<&'a Party>,
}

impl Request<'_> {
    fn sides(&self) -> impl Iterator<Item = &Side> {
        self.client.into_iter().chain(self.server)
    }

    /// Whether either end says that it failed.
    pub(crate) fn failed(&self) -> bool {
        self.sides().any(|side| side.failed)
    }

    /// What is spoken.
    pub(crate) fn protocol(&self) -> Arc<str> {
        let named = self.sides().find(|side| !side.protocol.is_empty());
        named.map_or_else(|| Arc::from(""), |side| Arc::clone(&side.protocol))
    }

    /// What stands between its ends.
    pub(crate) fn channel(&self) -> Channel {
        self.sides().map(|side| side.channel).max().unwrap_or(Channel::Direct)
    }

    /// Whether it was seen on the wire.
    pub(crate) fn is_wake(&self) -> bool {
        self.sides().any(|side| side.is_wake)
    }
}

/// Takes requests.
pub(crate) type Emit<'a> = &'a mut dyn FnMut(Request<'_>);

/// What the spans of one request have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// Trace and the client's span.
    Parent(Box<str>, Box<str>),
    /// Where the address means something, and the client's end.
    Connection(Arc<str>, SocketAddr),
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    role: Role,
    server: Option<SocketAddr>,
    side: Side,
}

/// Spans that wait for their other end.
#[derive(Debug)]
pub(crate) struct Pairs {
    waiting: HashMap<Key, Vec<Waiting>>,
    /// When each came, the oldest first; some have gone.
    order: VecDeque<(i64, u64, Key)>,
    count: usize,
    most: usize,
    tickets: u64,
    parties: HashMap<Party, Arc<Party>>,
    names: HashMap<String, Arc<str>>,
    whereabouts: Whereabouts,
}

impl Pairs {
    /// At most so many wait.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            waiting: HashMap::new(),
            order: VecDeque::new(),
            count: 0,
            most,
            tickets: 0,
            parties: HashMap::new(),
            names: HashMap::new(),
            whereabouts: Whereabouts::default(),
        }
    }

    /// Spans that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.count
    }

    /// A span that came at `now`, on any scale that does not go back.
    pub(crate) fn add(&mut self, span: &Span<'_>, now: i64, emit: Emit<'_>) {
        let Some(role) = span.role() else { return };
        let ends = if span.is_wake { span.ends() } else { None };
        let side = self.side(span);
        let key = match (&ends, role) {
            (Some(ends), role) => {
                let place: Arc<str> = span.place(ends).into();
                self.whereabouts.learn(&place, ends, role, &side.party);
                Key::Connection(place, ends.client)
            }
            (None, Role::Client) => Key::Parent(span.trace_id.into(), span.span_id.into()),
            // nobody called it, as far as it knows
            (None, Role::Server) if span.parent_span_id.is_empty() => {
                return emit(Request { client: None, server: Some(&side), is_asked: false, other: None });
            }
            (None, Role::Server) => Key::Parent(span.trace_id.into(), span.parent_span_id.into()),
        };
        let server = ends.map(|ends: Ends| ends.server);
        if let Some(other) = self.take(&key, role, server, &side) {
            return emit(together(role, &side, &other));
        }
        let ticket = self.tickets;
        self.tickets += 1;
        let waiting = self.waiting.entry(key.clone()).or_default();
        let oldest = (waiting.len() >= MOST_OF_ONE).then(|| waiting.remove(0));
        waiting.push(Waiting { ticket, role, server, side });
        self.count += 1;
        if let Some(oldest) = oldest {
            self.count -= 1;
            emit(self.lone(&key, &oldest));
        }
        self.order.push_back((now, ticket, key));
        while self.count > self.most || self.order.len() > self.most.saturating_mul(2) {
            self.pop(emit);
        }
    }

    /// Gives up on what came before this time.
    pub(crate) fn expire(&mut self, before: i64, emit: Emit<'_>) {
        while self.order.front().is_some_and(|(came, ..)| *came < before) {
            self.pop(emit);
        }
    }

    /// Gives up on everything.
    pub(crate) fn finish(&mut self, emit: Emit<'_>) {
        while !self.order.is_empty() {
            self.pop(emit);
        }
    }

    /// Lets the oldest go, unless it has gone.
    fn pop(&mut self, emit: Emit<'_>) {
        let Some((_, ticket, key)) = self.order.pop_front() else { return };
        let Some(waiting) = self.waiting.get_mut(&key) else { return };
        let Some(at) = waiting.iter().position(|other| other.ticket == ticket) else { return };
        let gone = waiting.remove(at);
        if waiting.is_empty() {
            self.waiting.remove(&key);
        }
        self.count -= 1;
        emit(self.lone(&key, &gone));
    }

    /// A request of which one end alone was found.
    fn lone<'a>(&'a self, key: &Key, waiting: &'a Waiting) -> Request<'a> {
        let side = Some(&waiting.side);
        match (waiting.role, key) {
            (Role::Client, Key::Connection(place, _)) => {
                let other = waiting.server.and_then(|server| self.whereabouts.server(place, server));
                Request { client: side, server: None, is_asked: false, other: other.map(Arc::as_ref) }
            }
            (Role::Client, Key::Parent(..)) => {
                Request { client: side, server: None, is_asked: false, other: None }
            }
            (Role::Server, Key::Connection(place, client)) => {
                let port = waiting.server.map(|server| server.port());
                let asked = port.and_then(|port| self.whereabouts.asked(place, client.ip(), port));
                let other = asked.and_then(Option::as_deref);
                Request { client: None, server: side, is_asked: asked.is_some(), other }
            }
            (Role::Server, Key::Parent(..)) => {
                Request { client: None, server: side, is_asked: false, other: None }
            }
        }
    }

    /// The waiting other end of a request, the one nearest in time.
    fn take(&mut self, key: &Key, role: Role, server: Option<SocketAddr>, side: &Side) -> Option<Side> {
        let waiting = self.waiting.get_mut(key)?;
        let candidates = waiting.iter().enumerate().filter(|(_, other)| {
            other.role != role && (server.is_none() || may_be_one(role, side, &other.side))
        });
        // an address that was not resolved is another one at each end: the same comes first
        let nearest = |(_, other): &(usize, &Waiting)| {
            (other.server != server, other.side.start_ns.abs_diff(side.start_ns), other.ticket)
        };
        let (at, _) = candidates.min_by_key(nearest)?;
        let other = waiting.remove(at);
        if waiting.is_empty() {
            self.waiting.remove(key);
        }
        self.count -= 1;
        Some(other.side)
    }

    fn side(&mut self, span: &Span<'_>) -> Side {
        let messaging = matches!(span.kind, "producer" | "consumer");
        let has = |keys: &[&str]| span.attributes.first(keys).is_some();
        let channel = if messaging || has(&["messaging.system"]) {
            Channel::Messaging
        } else if has(&["db.system.name", "db.system"]) {
            Channel::Database
        } else {
            Channel::Direct
        };
        Side {
            party: self.party(span),
            start_ns: span.start_ns,
            duration_ns: span.duration_ns,
            failed: span.failed,
            protocol: self.name(span.protocol()),
            channel,
            is_wake: span.is_wake,
            has_parent: !span.parent_span_id.is_empty(),
            peer: span.peer(),
            peer_name: span.peer_name().map(|name| self.name(name)),
        }
    }

    fn party(&mut self, span: &Span<'_>) -> Arc<Party> {
        let party = Party {
            namespace: cut(span.namespace),
            workload: cut(if span.workload.is_empty() { span.service } else { span.workload }),
            kind: cut(span.workload_kind),
            service: cut(span.service),
        };
        self.shared(party)
    }

    /// The same party once.
    fn shared(&mut self, party: Party) -> Arc<Party> {
        if let Some(known) = self.parties.get(&party) {
            return Arc::clone(known);
        }
        if self.parties.len() >= MOST_NAMES {
            self.parties.clear();
        }
        let shared = Arc::new(party.clone());
        self.parties.insert(party, Arc::clone(&shared));
        shared
    }

    /// The same text once.
    fn name(&mut self, text: &str) -> Arc<str> {
        let text = cut(text);
        if let Some(known) = self.names.get(&text) {
            return Arc::clone(known);
        }
        if self.names.len() >= MOST_NAMES {
            self.names.clear();
        }
        let shared: Arc<str> = text.as_str().into();
        self.names.insert(text, Arc::clone(&shared));
        shared
    }
}

/// A name as it may be shown: of a bounded length, without what moves a cursor.
pub(crate) fn cut(text: &str) -> String {
    let letter = |letter: char| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter };
    text.chars().take(MOST_LETTERS).map(letter).collect()
}

fn together<'a>(role: Role, side: &'a Side, other: &'a Side) -> Request<'a> {
    match role {
        Role::Client => Request { client: Some(side), server: Some(other), is_asked: false, other: None },
        Role::Server => Request { client: Some(other), server: Some(side), is_asked: false, other: None },
    }
}

/// Whether the server's part began while the client's ran, as far as clocks agree.
fn may_be_one(role: Role, side: &Side, other: &Side) -> bool {
    let (client, server) = if role == Role::Client { (side, other) } else { (other, side) };
    let end = client.start_ns.saturating_add(client.duration_ns);
    server.start_ns >= client.start_ns.saturating_sub(CLOCKS_NS)
        && server.start_ns <= end.saturating_add(CLOCKS_NS)
}
