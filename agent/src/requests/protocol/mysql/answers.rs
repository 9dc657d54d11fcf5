//! Answers of MySQL: one packet, or columns and rows up to their end, and again if more results follow.

use std::sync::Arc;

use super::packet::{self, HEAD};
use super::{At, Command, Mysql, id};
use crate::requests::protocol::Exchange;

impl Mysql {
    pub(super) fn answered(
        &mut self,
        bytes: &[u8],
        whole: u64,
        began: u64,
        ts_ns: u64,
        out: &mut Vec<Exchange>,
    ) {
        let payload = bytes.get(HEAD..).unwrap_or_default();
        let (sequence, first) = (bytes[3], payload.first().copied().unwrap_or(0));
        if sequence == 0 && self.pending.is_empty() {
            self.greeted |= matches!(first, 9 | 10);
            return;
        }
        let len = whole - HEAD as u64;
        let Some(open) = self.pending.front() else { return };
        open.answered = true;
        open.exchange.first_byte_ns.get_or_insert(began);
        open.exchange.end_ns = ts_ns;
        if first == 0xff && len >= 3 {
            return self.failed(payload, ts_ns, out);
        }
        match open.at {
            At::First => self.first(payload, len, ts_ns, out),
            At::Columns(left) if left > 1 => open.at = At::Columns(left - 1),
            At::Columns(_) => open.at = At::ColumnsEnd,
            At::ColumnsEnd if first == 0xfe && len == 5 => open.at = At::Rows,
            At::ColumnsEnd | At::Rows => {
                open.at = At::Rows;
                // An OK packet in the place of a row begins with 0xfe; a row that does is longer than a packet.
                if first == 0xfe && len < 0xff_ffff {
                    self.result_ends(payload, ts_ns, out);
                }
            }
        }
    }

    /// The first packet of an answer, or of its next part.
    fn first(&mut self, payload: &[u8], len: u64, ts_ns: u64, out: &mut Vec<Exchange>) {
        let Some(open) = self.pending.front() else { return };
        let first = payload.first().copied().unwrap_or(0);
        match (&open.command, first) {
            (Command::Login, 0) => {
                self.pending.pop();
            }
            // More of the authentication.
            (Command::Login, _) => {}
            (Command::Prepare(statement), 0) => {
                let statement = Arc::clone(statement);
                if let Some(id) = id(payload.get(1..).unwrap_or_default()) {
                    self.statements.insert(id, Arc::clone(&statement));
                }
                self.last = Some(statement);
                self.finish(ts_ns, out);
            }
            (Command::Statistics, _) => self.finish(ts_ns, out),
            (Command::UseDatabase(name), 0) => {
                self.database.clone_from(name);
                self.finish(ts_ns, out);
            }
            (Command::FieldList, _) if first != 0xfe => {}
            (_, 0 | 0xfe) => self.result_ends(payload, ts_ns, out),
            // The client is asked for a file, and then gets its answer.
            (_, 0xfb) => {}
            _ => match packet::lenenc(payload) {
                Some((columns, _)) if columns > 0 && len <= 10 => open.at = At::Columns(columns),
                _ => self.blind = true,
            },
        }
    }

    fn result_ends(&mut self, payload: &[u8], ts_ns: u64, out: &mut Vec<Exchange>) {
        if packet::has_more(payload) {
            if let Some(open) = self.pending.front() {
                open.at = At::First;
            }
            return;
        }
        self.finish(ts_ns, out);
    }

    fn failed(&mut self, payload: &[u8], ts_ns: u64, out: &mut Vec<Exchange>) {
        if let Some(open) = self.pending.front() {
            open.exchange.failed = true;
            let (code, state) = packet::error(payload).unwrap_or((0, None));
            open.exchange.error_type = Some(code.to_string());
            open.exchange.attributes.set("db.response.status_code", &code.to_string());
            if let Some(state) = state {
                open.exchange.attributes.set("db.mysql.sqlstate", state);
            }
        }
        self.finish(ts_ns, out);
    }
}
