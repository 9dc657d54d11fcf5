//! PostgreSQL: simple and extended queries, prepared statements, errors, COPY, logins.
//!
//! In: calls of both directions, whole or cut. Out: an exchange per simple query, per Execute, and per batch up to a Sync
//! that only prepares or closes; a login only if it is refused.
//! A batch that fails gives one exchange: what follows the error up to the Sync was never run.
//! Of messages only statements, names and SQLSTATEs are read; rows, parameters and passwords are passed over.

mod answers;
mod message;

use std::sync::Arc;

use super::frames::{Event, Frames, Head};
use super::pending::Pending;
use super::sql::recent::Recent;
use super::sql::statements::Statements;
use super::sql::{self, Dialect, Statement};
use super::{Chunk, Decoder, Direction, Exchange, OPEN_STATEMENT_BYTES, Protocol};
use message::{HEAD, Startup, text};

/// Requests without an answer on one connection.
const MAX_PENDING: usize = 256;
/// Prepared statements and portals that are remembered.
const MAX_STATEMENTS: usize = 256;
const MAX_PORTALS: usize = 32;
/// Bytes of their names.
const MAX_NAME: usize = 64;

pub(super) struct Postgres {
    request: Frames,
    response: Frames,
    pending: Pending<Open>,
    recent: Recent,
    statements: Statements<Vec<u8>>,
    portals: Statements<Vec<u8>>,
    database: Option<String>,
    /// What of the extended protocol came since the last Sync.
    batch: Option<Batch>,
    /// Executes of that batch.
    executes: usize,
    /// The server will say by one byte whether it encrypts.
    asked_to_encrypt: bool,
    /// All from here on is encrypted.
    opaque: bool,
    /// Answers were missed: what is open ends with the next request.
    blind: bool,
    lost: bool,
}

struct Open {
    exchange: Exchange,
    until: Until,
    answered: bool,
}

/// What ends an exchange.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// ReadyForQuery, of a simple query, a login, or a batch without Execute.
    Ready { silent: bool },
    /// CommandComplete and what stands for it.
    Complete,
    /// A Sync behind Executes: no exchange of its own.
    Sync,
}

/// What a batch without an Execute did.
struct Batch {
    began: u64,
    word: &'static str,
    statement: Option<Arc<Statement>>,
}

impl Postgres {
    pub(super) fn new() -> Self {
        Self {
            request: Frames::default(),
            response: Frames::default(),
            pending: Pending::new(MAX_PENDING),
            recent: Recent::new(Dialect::Postgres),
            statements: Statements::new(MAX_STATEMENTS),
            portals: Statements::new(MAX_PORTALS),
            database: None,
            batch: None,
            executes: 0,
            asked_to_encrypt: false,
            opaque: false,
            blind: false,
            lost: false,
        }
    }

    fn asked(&mut self, bytes: &[u8], began: u64, out: &mut Vec<Exchange>) {
        if self.blind {
            self.blind = false;
            self.response.lose();
            self.finish_answered(out);
        }
        let payload = bytes.get(HEAD..).unwrap_or_default();
        match bytes.first() {
            Some(0) => self.startup(bytes, began),
            Some(b'Q') => {
                let statement = self.recent.read(payload, memchr::memchr(0, payload).is_none());
                self.open(began, "QUERY", Some(&statement), Until::Ready { silent: false });
                if let Some(open) = self.pending.back() {
                    open.exchange.trace = sql::trace(payload);
                }
            }
            Some(b'F') => self.open(began, "CALL", None, Until::Ready { silent: false }),
            Some(b'P') => self.parse(payload, began),
            Some(b'B') => {
                let statement = text(payload).and_then(|(portal, rest)| Some((portal, text(rest)?.0)));
                if let Some((portal, statement)) = statement {
                    self.bind(portal, statement);
                }
                self.in_batch(began, "BIND", None);
            }
            Some(b'E') => {
                self.in_batch(began, "EXECUTE", None);
                let portal = text(payload).map(|(portal, _)| portal.to_vec());
                let statement = portal.and_then(|portal| self.portals.get(&portal).cloned());
                let began =
                    self.batch.as_ref().filter(|_| self.executes == 0).map_or(began, |batch| batch.began);
                self.executes += 1;
                self.open(began, "EXECUTE", statement.as_deref(), Until::Complete);
            }
            Some(b'D') => self.in_batch(began, "DESCRIBE", None),
            Some(b'C') => {
                if let [b'S', name @ ..] = payload
                    && let Some((name, _)) = text(name)
                {
                    self.statements.remove(&name.to_vec());
                }
                self.in_batch(began, "CLOSE", None);
            }
            Some(b'S') => self.sync(began),
            _ => {}
        }
    }

    fn startup(&mut self, bytes: &[u8], began: u64) {
        match message::startup(bytes) {
            Some(Startup::Hello { database }) => {
                self.database = database.map(str::to_owned);
                self.open(began, "CONNECT", None, Until::Ready { silent: true });
            }
            Some(Startup::Encrypt) => self.asked_to_encrypt = true,
            Some(Startup::Cancel) | None => {}
        }
    }

    fn parse(&mut self, payload: &[u8], began: u64) {
        let Some((name, rest)) = text(payload) else { return };
        let statement = self.recent.read(rest, memchr::memchr(0, rest).is_none());
        if name.len() <= MAX_NAME {
            self.statements.insert(name.to_vec(), Arc::clone(&statement));
        }
        self.in_batch(began, "PREPARE", Some(statement));
    }

    fn bind(&mut self, portal: &[u8], statement: &[u8]) {
        if portal.len() > MAX_NAME {
            return;
        }
        match self.statements.get(&statement.to_vec()).cloned() {
            Some(statement) => self.portals.insert(portal.to_vec(), statement),
            None => self.portals.remove(&portal.to_vec()),
        }
    }

    /// Something of the extended protocol; the first word that says what a batch is for stays.
    fn in_batch(&mut self, began: u64, word: &'static str, statement: Option<Arc<Statement>>) {
        let batch = self.batch.get_or_insert(Batch { began, word, statement: None });
        if statement.is_some() {
            (batch.word, batch.statement) = (word, statement);
        }
    }

    fn sync(&mut self, began: u64) {
        let batch = self.batch.take();
        let executes = std::mem::take(&mut self.executes);
        match batch {
            Some(batch) if executes == 0 => self.open_batch(batch, false),
            _ => {
                let exchange = Exchange::new(Protocol::Postgres, began);
                self.push(Open { exchange, until: Until::Sync, answered: false });
            }
        }
    }

    fn open_batch(&mut self, batch: Batch, truncated: bool) {
        self.open(batch.began, batch.word, batch.statement.as_deref(), Until::Ready { silent: false });
        if let Some(open) = self.pending.back() {
            open.exchange.truncated |= truncated;
            if batch.word == "PREPARE" && open.exchange.name != "PREPARE" && !truncated {
                open.exchange.name = format!("PREPARE {}", open.exchange.name);
            }
        }
    }

    fn open(&mut self, began: u64, word: &str, statement: Option<&Statement>, until: Until) {
        let mut exchange = Exchange::new(Protocol::Postgres, began);
        exchange.name = word.to_owned();
        exchange.attributes.push("db.system.name", "postgresql");
        if let Some(database) = &self.database {
            exchange.attributes.push("db.namespace", database);
        }
        if let Some(statement) = statement {
            statement.describe(&mut exchange);
        }
        self.push(Open { exchange, until, answered: false });
    }

    fn push(&mut self, open: Open) {
        if !self.pending.push(open) {
            self.lost = true;
        }
    }

    /// A part of what the client sent was not seen.
    fn missed_requests(&mut self) {
        self.lost = true;
        if let Some(batch) = self.batch.take() {
            // Its Execute and its Sync were among it.
            if std::mem::take(&mut self.executes) == 0 {
                self.open_batch(batch, true);
            }
        }
    }

    fn gap(&mut self, out: &mut Vec<Exchange>) {
        self.lost = true;
        self.asked_to_encrypt = false;
        (self.batch, self.executes, self.blind) = (None, 0, false);
        for open in self.pending.drain() {
            if matches!(open.until, Until::Sync | Until::Ready { silent: true }) {
                continue;
            }
            let mut exchange = open.exchange;
            exchange.unseen(None);
            exchange.at_least = true;
            out.push(exchange);
        }
        // what was lost may have been of either side
        self.request.lose();
        self.response.lose();
    }
}

impl Decoder for Postgres {
    fn chunk(&mut self, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        if chunk.gap {
            self.gap(out);
        }
        if self.opaque {
            return;
        }
        let is_request = chunk.direction == Direction::Request;
        let mut frames = std::mem::take(if is_request { &mut self.request } else { &mut self.response });
        frames.push(chunk);
        loop {
            let encrypts = !is_request && self.asked_to_encrypt;
            let event = frames.next(|bytes, unsure| match bytes {
                [] => Head::Short,
                [b'S' | b'N' | b'G', ..] if encrypts => Head::Frame { len: 1, want: 1 },
                _ if is_request => message::request_head(bytes, unsure),
                _ => message::response_head(bytes, unsure),
            });
            match event {
                None => break,
                Some(Event::Lost) if is_request => self.missed_requests(),
                Some(Event::Lost) => self.blind = true,
                Some(Event::Frame { bytes, .. }) if encrypts => {
                    self.asked_to_encrypt = false;
                    self.opaque = bytes != b"N";
                }
                Some(Event::Frame { bytes, began, .. }) if is_request => self.asked(bytes, began, out),
                Some(Event::Frame { bytes, began, .. }) => self.answered(bytes, began, chunk.ts_ns, out),
            }
        }
        *(if is_request { &mut self.request } else { &mut self.response }) = frames;
        // An answer lasts as long as bytes come, seen or not.
        if !is_request && let Some(open) = self.pending.front().filter(|open| open.answered) {
            open.exchange.end_ns = open.exchange.end_ns.max(chunk.ts_ns);
        }
    }

    fn end(&mut self, ts_ns: u64, out: &mut Vec<Exchange>) {
        (self.batch, self.executes, self.blind) = (None, 0, false);
        for mut open in self.pending.drain() {
            if matches!(open.until, Until::Sync | Until::Ready { silent: true }) {
                continue;
            }
            if !open.answered {
                open.exchange.unanswered(ts_ns);
            }
            open.exchange.at_least |= std::mem::take(&mut self.lost);
            out.push(open.exchange);
        }
        self.request.lose();
        self.response.lose();
    }

    fn open(&self) -> usize {
        self.pending.len()
    }

    fn memory(&self) -> usize {
        self.pending.len() * OPEN_STATEMENT_BYTES
            + self.request.memory()
            + self.response.memory()
            + self.recent.memory()
            + self.statements.memory()
            + self.portals.memory()
    }
}

#[cfg(test)]
mod tests;
