//! Redis and what speaks as it does: RESP2, RESP3, inline commands, pipelines.
//!
//! In: calls of both directions, whole or cut. Out: an exchange per command, in order.
//! Of a command its name is kept, and the second word of those that have subcommands; keys, values, scripts and the
//! messages of errors are passed over. Pushed messages (pub/sub, tracking) are no answers.

mod commands;
mod reply;

use super::pending::Pending;
use super::{Chunk, Decoder, Direction, Exchange, OPEN_BYTES, Protocol};
use commands::Replies;
use reply::{Event, Value, Values};

/// Commands without an answer on one connection; what a longer pipeline holds is counted, not told.
const MAX_PENDING: usize = 1_024;

pub(super) struct Redis {
    request: Values,
    response: Values,
    pending: Pending<Exchange>,
    /// An answer that was cut: it ends with the last bytes before something else begins.
    ending: Option<Exchange>,
    /// `CLIENT REPLY OFF`, and `SKIP` for the next command.
    mute: bool,
    skip: bool,
    /// Answers were missed, the last of them then: what is open ends with the next command.
    blind: Option<u64>,
    /// Commands were missed, and then when the last answers came: some of them may be theirs.
    missed: bool,
    late: Option<u64>,
    lost: bool,
}

impl Redis {
    pub(super) fn new() -> Self {
        Self {
            request: Values::new(),
            response: Values::new(),
            pending: Pending::new(MAX_PENDING),
            ending: None,
            mute: false,
            skip: false,
            blind: None,
            missed: false,
            late: None,
            lost: false,
        }
    }

    fn asked(&mut self, value: &Value) {
        let Some(command) = commands::name(value) else {
            self.lost = true;
            return;
        };
        let skipped = std::mem::take(&mut self.skip);
        match commands::replies(value) {
            Some(Replies::Off) => self.mute = true,
            Some(Replies::Skip) => self.skip = true,
            Some(Replies::On) => self.mute = false,
            None => {}
        }
        if self.mute || self.skip || skipped {
            return;
        }
        let mut exchange = Exchange::new(Protocol::Redis, value.began);
        exchange.attributes.push("db.system.name", "redis");
        exchange.attributes.push("db.operation.name", &command);
        exchange.name = command;
        if !self.pending.push(exchange) {
            self.lost = true;
        }
    }

    fn answered(&mut self, value: &Value, is_cut: bool, ts_ns: u64, out: &mut Vec<Exchange>) {
        self.ended(out);
        if value.kind == Some(b'>') {
            return;
        }
        let Some(mut exchange) = self.pending.pop() else { return };
        exchange.first_byte_ns = Some(value.began);
        exchange.end_ns = ts_ns.max(exchange.start_ns);
        if matches!(value.kind, Some(b'-' | b'!')) {
            let code = value.words.first().map(|word| error_code(word));
            let code = code.unwrap_or_else(|| "_OTHER".to_owned());
            exchange.failed = true;
            exchange.attributes.push("db.response.status_code", &code);
            exchange.error_type = Some(code);
        }
        self.ending = Some(exchange);
        if !is_cut {
            self.ended(out);
        }
    }

    fn ended(&mut self, out: &mut Vec<Exchange>) {
        if let Some(exchange) = self.ending.take() {
            self.give(exchange, out);
        }
    }

    /// The rest of a call was not seen, and something was in it.
    fn cut_off(&mut self, is_request: bool, ts_ns: u64) {
        self.lost = true;
        if is_request {
            self.missed = true;
        } else if !self.pending.is_empty() {
            self.blind = Some(ts_ns);
        }
    }

    /// Which answer belongs to which command is not known any more: all are told, without how they were answered.
    fn let_go(&mut self, ts_ns: Option<u64>, out: &mut Vec<Exchange>) {
        self.ended(out);
        self.lost |= !self.pending.is_empty();
        let open: Vec<_> = self.pending.drain().collect();
        for mut exchange in open {
            exchange.unseen(ts_ns);
            self.give(exchange, out);
        }
        self.response.lose();
    }

    fn give(&mut self, mut exchange: Exchange, out: &mut Vec<Exchange>) {
        exchange.at_least |= std::mem::take(&mut self.lost);
        out.push(exchange);
    }
}

impl Decoder for Redis {
    fn chunk(&mut self, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        let is_request = chunk.direction == Direction::Request;
        if is_request || chunk.gap {
            self.ended(out);
        } else if let Some(ending) = &mut self.ending {
            ending.end_ns = ending.end_ns.max(chunk.ts_ns);
        }
        if chunk.gap {
            self.lost = true;
            (self.blind, self.late, self.missed) = (None, None, false);
            self.let_go(None, out);
            self.request.lose();
        }
        if is_request {
            let (blind, late) = (self.blind.take(), self.late.take());
            if let Some(last_ns) = blind.or(late) {
                self.missed = false;
                self.let_go(Some(last_ns), out);
            }
        } else if let Some(last_ns) = &mut self.blind {
            *last_ns = chunk.ts_ns.max(*last_ns);
            return;
        } else if self.missed {
            self.late = Some(chunk.ts_ns);
        }
        let (mut bytes, mut behind) = (chunk.bytes, chunk.total.saturating_sub(chunk.bytes.len() as u64));
        let values = if is_request { &mut self.request } else { &mut self.response };
        values.begin(chunk);
        loop {
            let values = if is_request { &mut self.request } else { &mut self.response };
            match values.next(&mut bytes, &mut behind, is_request) {
                None => return,
                Some(Event::Lost) => self.cut_off(is_request, chunk.ts_ns),
                Some(Event::Value(value)) if is_request => self.asked(&value),
                Some(Event::Value(value)) => self.answered(&value, false, chunk.ts_ns, out),
                Some(Event::Cut(value)) if is_request => {
                    self.asked(&value);
                    self.cut_off(is_request, chunk.ts_ns);
                }
                Some(Event::Cut(value)) => {
                    self.answered(&value, true, chunk.ts_ns, out);
                    if !self.pending.is_empty() {
                        self.cut_off(is_request, chunk.ts_ns);
                    }
                }
            }
        }
    }

    fn end(&mut self, ts_ns: u64, out: &mut Vec<Exchange>) {
        self.late = None;
        if let Some(last_ns) = self.blind.take() {
            self.let_go(Some(last_ns), out);
        }
        self.ended(out);
        let begun = self.response.began();
        let open: Vec<_> = self.pending.drain().collect();
        for (count, mut exchange) in open.into_iter().enumerate() {
            match begun.filter(|_| count == 0) {
                Some(began) => {
                    exchange.first_byte_ns = Some(began);
                    exchange.end_ns = ts_ns.max(exchange.start_ns);
                }
                None => exchange.unanswered(ts_ns),
            }
            self.give(exchange, out);
        }
        self.request.lose();
        self.response.lose();
    }

    fn open(&self) -> usize {
        self.pending.len() + usize::from(self.ending.is_some())
    }

    fn memory(&self) -> usize {
        self.pending.len() * OPEN_BYTES + self.request.memory() + self.response.memory()
    }
}

/// The word in capitals that an error begins with.
fn error_code(message: &[u8]) -> String {
    let word = message.split(|byte| *byte == b' ').next().unwrap_or_default();
    let plain = !word.is_empty() && word.len() <= 32 && word.iter().all(|byte| byte.is_ascii_uppercase());
    if plain { String::from_utf8_lossy(word).into_owned() } else { "_OTHER".to_owned() }
}

#[cfg(test)]
mod tests;
