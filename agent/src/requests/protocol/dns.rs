//! DNS over UDP and TCP: questions and how they were answered.
//!
//! In: datagrams, or a stream of messages with a length each; which of the two is told by the first call. Out: an
//! exchange per question, paired by id and question. The answers themselves are not read.
//! An unknown name is no failure of the server: it has an `error.type`, and `failed` is false.

mod message;

use std::collections::{BTreeMap, VecDeque};

use super::frames::{Event, Frames, Head};
use super::{Chunk, Decoder, Direction, Exchange, OPEN_BYTES, Protocol};
use message::{HEAD, Message};

/// Questions without an answer on one socket; beyond it the oldest is given up.
const MAX_PENDING: usize = 256;
/// Bytes of a message that are read: a head and the longest question.
const WANT: usize = HEAD + 255 + 4;
/// A question by datagram that is not answered so long after it was asked last is not answered any more.
pub(crate) const PATIENCE_NS: u64 = 6_000_000_000;
/// An answer's code when the name does not exist.
const NXDOMAIN: u16 = 3;

pub(super) struct Dns {
    request: Frames,
    response: Frames,
    pending: BTreeMap<u16, Open>,
    /// When questions were asked, the first ones first, with their order and id; some are answered by now.
    waits: VecDeque<(u64, u64, u16)>,
    transport: Option<Transport>,
    asked: u64,
    lost: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
}

struct Open {
    exchange: Exchange,
    question: Option<(String, u16)>,
    /// Its answer may have been lost.
    doubtful: bool,
    order: u64,
}

impl Dns {
    pub(super) fn new() -> Self {
        Self {
            request: Frames::default(),
            response: Frames::default(),
            pending: BTreeMap::new(),
            waits: VecDeque::new(),
            transport: None,
            asked: 0,
            lost: false,
        }
    }

    fn message(&mut self, bytes: &[u8], chunk: &Chunk<'_>, began: u64, out: &mut Vec<Exchange>) {
        let is_request = chunk.direction == Direction::Request;
        match Message::read(bytes).filter(|message| message.is_response != is_request) {
            None => self.lost = true,
            Some(message) if is_request => self.asked(message, began, out),
            Some(message) => self.answered(&message, began, chunk.ts_ns, out),
        }
    }

    fn asked(&mut self, message: Message, began: u64, out: &mut Vec<Exchange>) {
        self.asked += 1;
        let order = self.asked;
        // The same question again, as it was not answered in time: the first counts, and waits on.
        if let Some(open) = self.pending.get_mut(&message.id).filter(|open| open.question == message.question)
        {
            open.order = order;
            self.wait(began, message.id);
            return;
        }
        let mut exchange = Exchange::new(Protocol::Dns, began);
        exchange.name = "DNS".to_owned();
        match &message.question {
            Some((name, kind)) => {
                let kind = message::type_name(*kind);
                exchange.name = format!("DNS {kind}");
                exchange.attributes.push("dns.question.name", name);
                exchange.attributes.push("dns.question.type", &kind);
            }
            None => exchange.truncated = true,
        }
        let transport = if self.transport == Some(Transport::Tcp) { "tcp" } else { "udp" };
        exchange.attributes.push("network.transport", transport);
        if self.pending.len() >= MAX_PENDING {
            let oldest = self.pending.iter().min_by_key(|(_, open)| open.order).map(|(id, _)| *id);
            self.lost = true;
            if let Some(mut oldest) = oldest.and_then(|oldest| self.pending.remove(&oldest)) {
                oldest.exchange.unseen(None);
                self.give(oldest.exchange, out);
            }
        }
        let open = Open { exchange, question: message.question, doubtful: false, order };
        self.wait(began, message.id);
        // an id that is used anew: whether the question of before was answered is not known
        if let Some(mut before) = self.pending.insert(message.id, open) {
            before.exchange.unseen(None);
            self.give(before.exchange, out);
        }
    }

    fn wait(&mut self, asked_ns: u64, id: u16) {
        if self.waits.len() >= 2 * MAX_PENDING {
            let pending = &self.pending;
            self.waits.retain(|(_, order, id)| pending.get(id).is_some_and(|open| open.order == *order));
        }
        self.waits.push_back((asked_ns, self.asked, id));
    }

    /// Questions by datagram that nobody answered in time have no answer.
    fn expire(&mut self, now_ns: u64, out: &mut Vec<Exchange>) {
        while let Some((asked_ns, order, id)) = self.waits.front().copied() {
            let is_open = self.pending.get(&id).is_some_and(|open| open.order == order);
            if is_open && now_ns.saturating_sub(asked_ns) < PATIENCE_NS {
                return;
            }
            self.waits.pop_front();
            if is_open && let Some(open) = self.pending.remove(&id) {
                self.give_up(open, asked_ns.saturating_add(PATIENCE_NS), out);
            }
        }
    }

    fn give_up(&mut self, open: Open, at_ns: u64, out: &mut Vec<Exchange>) {
        let Open { mut exchange, doubtful, .. } = open;
        if doubtful {
            exchange.unseen(None);
        } else {
            exchange.unanswered(at_ns);
        }
        self.give(exchange, out);
    }

    fn answered(&mut self, message: &Message, began: u64, ts_ns: u64, out: &mut Vec<Exchange>) {
        let Some(open) = self.pending.get(&message.id) else { return };
        let same = open.question.is_none() || message.question.is_none() || open.question == message.question;
        if !same {
            return;
        }
        let Some(Open { mut exchange, .. }) = self.pending.remove(&message.id) else { return };
        exchange.first_byte_ns = Some(began);
        exchange.end_ns = ts_ns.max(exchange.start_ns);
        let code = message::rcode_name(message.rcode);
        exchange.attributes.push("dns.response_code", &code);
        if message.is_truncated {
            exchange.attributes.push("dns.truncated", "true");
        }
        if message.rcode != 0 {
            exchange.error_type = Some(code);
            exchange.failed = message.rcode != NXDOMAIN;
        }
        self.give(exchange, out);
    }

    fn give(&mut self, mut exchange: Exchange, out: &mut Vec<Exchange>) {
        exchange.at_least |= std::mem::take(&mut self.lost);
        out.push(exchange);
    }
}

impl Decoder for Dns {
    fn chunk(&mut self, chunk: &Chunk<'_>, out: &mut Vec<Exchange>) {
        if chunk.gap {
            // what was lost may have been of either side
            self.lost = true;
            self.request.lose();
            self.response.lose();
            self.pending.values_mut().for_each(|open| open.doubtful = true);
        }
        if self.transport != Some(Transport::Tcp) {
            self.expire(chunk.ts_ns, out);
        }
        if chunk.total == 0 {
            return;
        }
        let transport = *self.transport.get_or_insert_with(|| transport(chunk));
        if transport == Transport::Udp {
            return self.message(chunk.bytes, chunk, chunk.ts_ns, out);
        }
        let is_request = chunk.direction == Direction::Request;
        let mut frames = std::mem::take(if is_request { &mut self.request } else { &mut self.response });
        frames.push(chunk);
        while let Some(event) = frames.next(head) {
            match event {
                Event::Lost => self.lost = true,
                Event::Frame { bytes, began, .. } => {
                    self.message(bytes.get(2..).unwrap_or_default(), chunk, began, out);
                }
            }
        }
        *(if is_request { &mut self.request } else { &mut self.response }) = frames;
    }

    fn end(&mut self, ts_ns: u64, out: &mut Vec<Exchange>) {
        let mut open: Vec<_> = std::mem::take(&mut self.pending).into_values().collect();
        open.sort_by_key(|open| open.order);
        for open in open {
            self.give_up(open, ts_ns, out);
        }
        self.waits.clear();
        self.request.lose();
        self.response.lose();
    }

    fn open(&self) -> usize {
        self.pending.len()
    }

    fn memory(&self) -> usize {
        let waits = self.waits.capacity() * size_of::<(u64, u64, u16)>();
        self.pending.len() * OPEN_BYTES + waits + self.request.memory() + self.response.memory()
    }
}

/// Which way a first call went, if it is DNS with a question that was seen.
pub(super) fn infer(bytes: &[u8]) -> Option<Direction> {
    let framed = || {
        let len = bytes.get(..2)?;
        let whole = usize::from(u16::from_be_bytes([len[0], len[1]])) + 2 >= bytes.len();
        Message::read(bytes.get(2..)?).filter(|_| whole)
    };
    let message = Message::read(bytes).filter(|message| message.question.is_some()).or_else(framed)?;
    let (name, kind) = message.question?;
    let usual = !message::type_name(kind).starts_with("TYPE") && !name.contains('?');
    usual.then_some(if message.is_response { Direction::Response } else { Direction::Request })
}

/// A datagram is a message; a stream has the message's length before it.
fn transport(chunk: &Chunk<'_>) -> Transport {
    let len = chunk.bytes.get(..2).map(|len| u64::from(u16::from_be_bytes([len[0], len[1]])));
    let counts = len.is_some_and(|len| len + 2 == chunk.total);
    let framed = || Message::read(chunk.bytes.get(2..).unwrap_or_default()).is_some();
    if chunk.total < HEAD as u64 || counts && framed() || Message::read(chunk.bytes).is_none() {
        Transport::Tcp
    } else {
        Transport::Udp
    }
}

fn head(bytes: &[u8], unsure: bool) -> Head {
    let [high, low, rest @ ..] = bytes else { return Head::Short };
    let len = usize::from(u16::from_be_bytes([*high, *low]));
    if len < HEAD + 5 {
        return Head::Wrong;
    }
    if unsure {
        if rest.len() < HEAD {
            return Head::Short;
        }
        if Message::read(rest).is_none() {
            return Head::Wrong;
        }
    }
    Head::Frame { len: len as u64 + 2, want: 2 + len.min(WANT) }
}

#[cfg(test)]
mod tests;
