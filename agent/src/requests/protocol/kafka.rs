//! Kafka: requests by their key, Produce and Fetch by topic.
//!
//! In: calls of both directions, whole or cut. Out: an exchange per request, paired by correlation id.
//! Of a request its key, its client's id and topics are read; records, keys and group members are passed over. Topics
//! that are behind a cut are not told, nor those that newer versions name by an id that no connection of the node explained.

mod apis;
mod names;
mod request;
mod topics;

use std::collections::BTreeMap;

use super::bytes::Cursor;
use super::frames::{Event, Frames, Head};
use super::{Chunk, Decoder, Direction, Exchange, OPEN_BYTES, Protocol};
use request::{MAX_LEN, MAX_VERSION, Request, client_id, tags};
use topics::{Ids, Topics};

pub use names::Names;
pub(super) use request::is_request;

/// Requests without an answer on one connection; beyond it the oldest is given up.
const MAX_PENDING: usize = 256;
/// Bytes of a message that are read.
const WANT: usize = 8_192;
pub(super) struct Kafka {
    request: Frames,
    response: Frames,
    pending: BTreeMap<i32, Open>,
    /// In the order in which they were asked; correlation ids may begin anew.
    asked: u64,
    /// What the last Fetch with topics named, which later ones of its session take for granted.
    session: Option<String>,
    ids: Ids,
    /// An answer whose last bytes are still to come.
    ending: Option<Exchange>,
    lost: bool,
}

struct Open {
    exchange: Exchange,
    /// Its answer may have been lost.
    doubtful: bool,
    order: u64,
    key: i16,
    version: i16,
}

impl Kafka {
    pub(super) fn new(names: &Names) -> Self {
        Self {
            request: Frames::default(),
            response: Frames::default(),
            pending: BTreeMap::new(),
            asked: 0,
            session: None,
            ids: Ids::new(names),
            ending: None,
            lost: false,
        }
    }

    fn asked(&mut self, bytes: &[u8], cut: bool, began: u64, out: &mut Vec<Exchange>) {
        let Some(request) = Request::read(bytes) else {
            self.lost = true;
            return;
        };
        let Request { key, version, correlation, client, body } = request;
        let Some(name) = apis::name(key) else { return };
        let mut exchange = Exchange::new(Protocol::Kafka, began);
        exchange.name = name.to_owned();
        exchange.attributes.push("messaging.system", "kafka");
        exchange.attributes.push("messaging.operation.name", name);
        if let Some(client) = client.and_then(client_id) {
            exchange.attributes.push("messaging.client.id", &client);
        }
        let topics = match key {
            apis::PRODUCE => topics::produce(body, version, &mut self.ids),
            apis::FETCH => topics::fetch(body, version, &mut self.ids),
            _ => Some(Topics::default()),
        };
        exchange.truncated = cut && topics.is_none();
        let topics = topics.unwrap_or_default();
        self.name_topics(&mut exchange, key, &topics);
        if topics.silent {
            exchange.end_ns = began;
            self.give(exchange, out);
            return;
        }
        if self.pending.len() >= MAX_PENDING {
            let oldest = self.pending.iter().min_by_key(|(_, open)| open.order).map(|(id, _)| *id);
            self.lost = true;
            if let Some(mut oldest) = oldest.and_then(|oldest| self.pending.remove(&oldest)) {
                oldest.exchange.unseen(None);
                self.give(oldest.exchange, out);
            }
        }
        self.asked += 1;
        self.pending.insert(correlation, Open { exchange, doubtful: false, order: self.asked, key, version });
    }

    fn name_topics(&mut self, exchange: &mut Exchange, key: i16, topics: &Topics) {
        let kind = match key {
            apis::PRODUCE => "send",
            apis::FETCH => "receive",
            _ => return,
        };
        exchange.attributes.push("messaging.operation.type", kind);
        if key == apis::FETCH && !topics.names.is_empty() {
            self.session = topics.names.first().filter(|_| topics.count == 1).cloned();
        }
        let session = self.session.as_ref().filter(|_| key == apis::FETCH && topics.count == 0);
        let Some(first) = topics.names.first().or(session) else { return };
        // Of several topics none is the destination.
        if topics.count > 1 {
            exchange.attributes.push("messaging.kafka.topics", &topics.names.join(","));
            return;
        }
        exchange.name = format!("{} {first}", exchange.name);
        exchange.attributes.push("messaging.destination.name", first);
    }

    fn answered(&mut self, bytes: &[u8], began: u64, ts_ns: u64) {
        let mut cursor = Cursor::new(bytes);
        let Some(mut open) = cursor.i32().and_then(|correlation| self.pending.remove(&correlation)) else {
            return;
        };
        let Open { exchange, doubtful: _, order: _, key, version } = &mut open;
        exchange.first_byte_ns = Some(began);
        exchange.end_ns = ts_ns.max(exchange.start_ns);
        // ApiVersions is asked by clients that do not know yet what the server can read.
        if *version >= apis::flexible_from(*key) && *key != 18 {
            tags(&mut cursor);
        }
        let body = cursor.rest;
        if *key == apis::METADATA {
            self.ids.take(body, *version);
        }
        let at = apis::error_at(*key, *version);
        let error = at.and_then(|at| Cursor::new(body.get(at..)?).i16()).filter(|error| *error != 0);
        let error = error.or_else(|| match *key {
            apis::PRODUCE => topics::produce_error(body, *version),
            apis::FETCH => topics::fetch_error(body, *version),
            _ => None,
        });
        if let Some(error) = error {
            exchange.failed = true;
            exchange.error_type = Some(apis::error_name(error));
            exchange.attributes.set("messaging.kafka.error_code", &error.to_string());
        }
        self.ending = Some(open.exchange);
    }

    fn ended(&mut self, ts_ns: Option<u64>, out: &mut Vec<Exchange>) {
        if let Some(mut exchange) = self.ending.take() {
            exchange.end_ns = exchange.end_ns.max(ts_ns.unwrap_or(0));
            self.give(exchange, out);
        }
    }

    fn give(&mut self, mut exchange: Exchange, out: &mut Vec<Exchange>) {
        exchange.at_least |= std::mem::take(&mut self.lost);
        out.push(exchange);
    }
}

impl Decoder for Kafka {
    fn chunk(&mut self, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        if chunk.gap {
            // what was lost may have been of either side
            self.lost = true;
            self.request.lose();
            self.response.lose();
            self.pending.values_mut().for_each(|open| open.doubtful = true);
        }
        let is_request = chunk.direction == Direction::Request;
        let mut frames = std::mem::take(if is_request { &mut self.request } else { &mut self.response });
        frames.push(chunk);
        if !is_request && !frames.is_open() {
            self.ended(Some(chunk.ts_ns).filter(|_| !chunk.gap), out);
        }
        loop {
            let event = frames.next(|bytes, unsure| {
                let known = |correlation: i32| self.pending.contains_key(&correlation);
                head(bytes, is_request, unsure, known)
            });
            match event {
                None => break,
                Some(Event::Lost) => self.lost = true,
                Some(Event::Frame { bytes, cut, began }) => {
                    if !is_request {
                        self.ended(None, out);
                    }
                    let bytes = bytes.get(4..).unwrap_or_default();
                    if is_request {
                        self.asked(bytes, cut, began, out);
                    } else {
                        self.answered(bytes, began, chunk.ts_ns);
                    }
                }
            }
        }
        if !is_request && !frames.is_open() {
            self.ended(Some(chunk.ts_ns), out);
        }
        *(if is_request { &mut self.request } else { &mut self.response }) = frames;
    }

    fn end(&mut self, ts_ns: u64, out: &mut Vec<Exchange>) {
        self.ended(Some(ts_ns), out);
        let mut open: Vec<_> = std::mem::take(&mut self.pending).into_values().collect();
        open.sort_by_key(|open| open.order);
        for mut open in open {
            if open.doubtful {
                open.exchange.unseen(None);
            } else {
                open.exchange.unanswered(ts_ns);
            }
            self.give(open.exchange, out);
        }
        self.request.lose();
        self.response.lose();
    }

    fn open(&self) -> usize {
        self.pending.len() + usize::from(self.ending.is_some())
    }

    fn memory(&self) -> usize {
        self.pending.len() * OPEN_BYTES + self.request.memory() + self.response.memory() + self.ids.memory()
    }
}

/// A length, and what has to be behind it where that is a guess.
fn head(bytes: &[u8], is_request: bool, unsure: bool, known: impl Fn(i32) -> bool) -> Head {
    let mut cursor = Cursor::new(bytes);
    let Some(len) = cursor.i32() else { return Head::Short };
    let least = if is_request { 8 } else { 4 };
    if !(least..=MAX_LEN).contains(&len) {
        return Head::Wrong;
    }
    if unsure {
        let fits = if is_request {
            // The next eight bytes: key, version, correlation id.
            if cursor.rest.len() < 8 {
                return Head::Short;
            }
            let (key, version) = (cursor.i16(), cursor.i16());
            key.and_then(apis::name).is_some()
                && version.is_some_and(|version| (0..=MAX_VERSION).contains(&version))
        } else {
            let Some(correlation) = cursor.i32() else { return Head::Short };
            known(correlation)
        };
        if !fits {
            return Head::Wrong;
        }
    }
    let len = u64::from(len.unsigned_abs()) + 4;
    Head::Frame { len, want: WANT }
}

#[cfg(test)]
mod tests;
