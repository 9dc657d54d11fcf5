//! MySQL and MariaDB: queries, prepared statements, results of many rows and of many parts.
//!
//! In: calls of both directions, whole or cut. Out: an exchange per command, in order; a login only if it is refused.
//! A connection that turns to TLS or compression is left alone from there. Rows, parameters, messages of errors and
//! proofs of passwords are passed over.

mod answers;
mod packet;

use std::sync::Arc;

use super::frames::{Event, Frames};
use super::pending::Pending;
use super::sql::recent::Recent;
use super::sql::statements::Statements;
use super::sql::{self, Dialect, Statement};
use super::{Chunk, Decoder, Direction, Exchange, OPEN_STATEMENT_BYTES, Protocol};
use packet::HEAD;

/// Commands without an answer on one connection; clients send one at a time, MariaDB's may send more.
const MAX_PENDING: usize = 32;
/// Prepared statements that are remembered.
const MAX_STATEMENTS: usize = 256;
/// MariaDB: the statement that was prepared last.
const LAST_PREPARED: u32 = u32::MAX;

pub(super) struct Mysql {
    request: Frames,
    response: Frames,
    pending: Pending<Open>,
    recent: Recent,
    statements: Statements<u32>,
    last: Option<Arc<Statement>>,
    database: Option<String>,
    /// Whether statements have attributes before them, if that was seen.
    attributes: Option<bool>,
    /// The connection begins, and the server has not said yet whether it lets the client in.
    greeted: bool,
    opaque: bool,
    /// Answers were missed: what is open ends with the next command.
    blind: bool,
    lost: bool,
}

struct Open {
    exchange: Exchange,
    command: Command,
    at: At,
    answered: bool,
}

/// What is asked, as far as the answer's form depends on it.
enum Command {
    Login,
    Prepare(Arc<Statement>),
    UseDatabase(Option<String>),
    FieldList,
    /// One packet of text.
    Statistics,
    Other,
}

/// Where in an answer.
#[derive(Clone, Copy)]
enum At {
    First,
    /// As many columns to come.
    Columns(u64),
    /// The end of the columns, which newer servers leave out.
    ColumnsEnd,
    Rows,
}

impl Mysql {
    pub(super) fn new() -> Self {
        Self {
            request: Frames::default(),
            response: Frames::default(),
            pending: Pending::new(MAX_PENDING),
            recent: Recent::new(Dialect::Mysql),
            statements: Statements::new(MAX_STATEMENTS),
            last: None,
            database: None,
            attributes: None,
            greeted: true,
            opaque: false,
            blind: false,
            lost: false,
        }
    }

    fn asked(&mut self, bytes: &[u8], whole: u64, began: u64, out: &mut Vec<Exchange>) {
        let (sequence, payload) = (bytes[3], bytes.get(HEAD..).unwrap_or_default());
        if sequence != 0 {
            if self.greeted && sequence <= 2 {
                self.handshake(payload, began);
            }
            return;
        }
        if std::mem::take(&mut self.blind) {
            self.response.lose();
        }
        self.greeted = false;
        self.finish_answered(out);
        let Some((code, body)) = payload.split_first() else { return };
        let cut = (bytes.len() as u64) < whole;
        let (word, statement, command) = match code {
            // Quit, sent data and a closed statement have no answer.
            0x01 | 0x18 => return,
            0x19 => {
                if let Some(id) = id(body) {
                    self.statements.remove(&id);
                }
                return;
            }
            0x02 => {
                let name =
                    str::from_utf8(body).ok().filter(|name| !cut && !name.is_empty() && name.len() <= 64);
                ("USE", None, Command::UseDatabase(name.map(str::to_owned)))
            }
            0x03 => ("QUERY", self.statement(body, cut), Command::Other),
            0x04 => ("FIELD LIST", None, Command::FieldList),
            0x09 => ("STATISTICS", None, Command::Statistics),
            0x0a => ("PROCESS INFO", None, Command::Other),
            0x0e => ("PING", None, Command::Other),
            0x11 => ("CHANGE USER", None, Command::Login),
            0x16 => {
                let statement = self.recent.read(body, cut);
                ("PREPARE", Some(Arc::clone(&statement)), Command::Prepare(statement))
            }
            0x17 | 0xfa => ("EXECUTE", self.prepared(body), Command::Other),
            0x1a => ("RESET", self.prepared(body), Command::Other),
            0x1c => ("FETCH", self.prepared(body), Command::Other),
            0x1f => {
                self.statements.clear();
                ("RESET CONNECTION", None, Command::Other)
            }
            0x05..=0x1f => ("COMMAND", None, Command::Other),
            _ => {
                self.lost = true;
                return;
            }
        };
        let (fetches, trace) = (*code == 0x1c, sql::trace(body).filter(|_| *code == 0x03));
        self.open(began, word, statement.as_deref(), command);
        if let Some(open) = self.pending.back() {
            open.exchange.trace = trace;
            if fetches {
                open.at = At::Rows;
            }
            if *code == 0x16 && open.exchange.name != word {
                open.exchange.name = format!("PREPARE {}", open.exchange.name);
            }
        }
    }

    fn statement(&mut self, body: &[u8], cut: bool) -> Option<Arc<Statement>> {
        let sql = packet::query(body, self.attributes)?;
        Some(self.recent.read(sql, cut))
    }

    fn prepared(&self, body: &[u8]) -> Option<Arc<Statement>> {
        match id(body)? {
            LAST_PREPARED => self.last.clone(),
            id => self.statements.get(&id).cloned(),
        }
    }

    fn handshake(&mut self, payload: &[u8], began: u64) {
        // What follows is the rest of the authentication.
        if self.pending.front().is_some() {
            return;
        }
        let Some(told) = packet::handshake(payload) else { return };
        self.opaque = told.opaque;
        self.attributes = Some(told.attributes);
        self.database = told.database.map(str::to_owned);
        self.open(began, "CONNECT", None, Command::Login);
    }

    fn open(&mut self, began: u64, word: &str, statement: Option<&Statement>, command: Command) {
        let mut exchange = Exchange::new(Protocol::Mysql, began);
        exchange.name = word.to_owned();
        exchange.attributes.push("db.system.name", "mysql");
        if let Some(database) = &self.database {
            exchange.attributes.push("db.namespace", database);
        }
        if let Some(statement) = statement {
            statement.describe(&mut exchange);
        }
        if !self.pending.push(Open { exchange, command, at: At::First, answered: false }) {
            self.lost = true;
        }
    }

    fn finish(&mut self, ts_ns: u64, out: &mut Vec<Exchange>) {
        if let Some(mut open) = self.pending.pop() {
            open.exchange.end_ns = ts_ns.max(open.exchange.start_ns);
            self.give(open.exchange, out);
        }
    }

    fn give(&mut self, mut exchange: Exchange, out: &mut Vec<Exchange>) {
        exchange.at_least |= std::mem::take(&mut self.lost);
        out.push(exchange);
    }

    /// A command follows: an answer that has begun is over, though its end was not seen.
    fn finish_answered(&mut self, out: &mut Vec<Exchange>) {
        while self.pending.front().is_some_and(|open| open.answered) {
            let Some(open) = self.pending.pop() else { return };
            if !matches!(open.command, Command::Login) {
                self.give(open.exchange, out);
            }
        }
    }

    fn gap(&mut self, out: &mut Vec<Exchange>) {
        self.lost = true;
        self.greeted = false;
        let open: Vec<_> = self.pending.drain().collect();
        for mut open in open {
            if !matches!(open.command, Command::Login) {
                open.exchange.unseen(None);
                self.give(open.exchange, out);
            }
        }
        // what was lost may have been of either side
        self.blind = false;
        self.request.lose();
        self.response.lose();
    }
}

impl Decoder for Mysql {
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
        let mut whole = 0;
        while !self.opaque {
            let event = frames.next(|bytes, unsure| {
                let head = packet::head(bytes, is_request, unsure);
                if let super::frames::Head::Frame { len, .. } = head {
                    whole = len;
                }
                head
            });
            match event {
                None => break,
                Some(Event::Lost) if is_request => self.lost = true,
                Some(Event::Lost) => self.blind = true,
                Some(Event::Frame { bytes, .. }) if bytes.len() < HEAD => {}
                Some(Event::Frame { bytes, began, .. }) if is_request => self.asked(bytes, whole, began, out),
                Some(Event::Frame { bytes, began, .. }) => {
                    self.answered(bytes, whole, began, chunk.ts_ns, out);
                }
            }
        }
        *(if is_request { &mut self.request } else { &mut self.response }) = frames;
        // An answer lasts as long as bytes come, seen or not.
        if !is_request && let Some(open) = self.pending.front().filter(|open| open.answered) {
            open.exchange.end_ns = open.exchange.end_ns.max(chunk.ts_ns);
        }
    }

    fn end(&mut self, ts_ns: u64, out: &mut Vec<Exchange>) {
        let open: Vec<_> = self.pending.drain().collect();
        for mut open in open {
            if matches!(open.command, Command::Login) {
                continue;
            }
            if !open.answered {
                open.exchange.unanswered(ts_ns);
            }
            self.give(open.exchange, out);
        }
        self.blind = false;
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
    }
}

fn id(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
