//! Questions by datagram, each until it is answered or given up.
//!
//! Entries are given up in the order in which they were asked, so that room is found without a search.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use super::{Known, Shared, begin, is_to_many, protocol};
use crate::decode::requests::Piece;
use crate::requests::protocol::PATIENCE_NS;
use crate::window::sample::Sample;

/// Most questions that wait, and most sockets and other ends that have any.
const MOST: usize = 32_768;

type Key = (u64, SocketAddr);

#[derive(Debug, Default)]
pub(super) struct Datagrams {
    known: HashMap<Key, (u64, Known)>,
    /// Questions of all of them.
    waiting: usize,
    /// When each was asked first; what is answered stays here until its time has come, or there are too many.
    asked: VecDeque<(u64, Key)>,
}

impl Datagrams {
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn take(
        &mut self,
        piece: &Piece<'_>,
        shared: &mut Shared,
        boot_to_unix_ns: i64,
        out: &mut Vec<Sample>,
    ) {
        if piece.is_request() {
            self.make_room(piece.header.at_ns, shared, boot_to_unix_ns, out);
        }
        let key = (piece.header.socket, piece.peer());
        if let Entry::Vacant(place) = self.known.entry(key) {
            let is_question = piece.is_request() && !is_to_many(piece.local(), piece.peer());
            let Some(protocol) = protocol(piece.header.protocol).filter(|_| is_question) else { return };
            let at_ns = piece.header.at_ns;
            place.insert((at_ns, begin(piece, protocol, &mut shared.doings)));
            self.asked.push_back((at_ns, key));
        }
        let Some((_, known)) = self.known.get_mut(&key) else { return };
        let before = known.connection.waiting();
        shared.feed(known, piece, boot_to_unix_ns, out);
        let after = known.connection.waiting();
        self.waiting = (self.waiting + after).saturating_sub(before);
        if after == 0 {
            self.known.remove(&key);
        }
    }

    /// Gives up what was not answered in time.
    pub(super) fn expire(
        &mut self,
        now_ns: u64,
        shared: &mut Shared,
        boot_to_unix_ns: i64,
        out: &mut Vec<Sample>,
    ) {
        while let Some((asked_ns, key)) = self.asked.front().copied() {
            if now_ns.saturating_sub(asked_ns) < PATIENCE_NS {
                return;
            }
            self.asked.pop_front();
            let Some((since_ns, known)) = self.known.get_mut(&key) else { continue };
            if *since_ns != asked_ns {
                continue;
            }
            let before = known.connection.waiting();
            shared.pass(known, now_ns, boot_to_unix_ns, out);
            let after = known.connection.waiting();
            self.waiting = (self.waiting + after).saturating_sub(before);
            if after == 0 {
                self.known.remove(&key);
            } else {
                // asked again meanwhile
                *since_ns = now_ns;
                self.asked.push_back((now_ns, key));
            }
        }
    }

    /// Before one more question: those that were asked first go.
    fn make_room(&mut self, now_ns: u64, shared: &mut Shared, boot_to_unix_ns: i64, out: &mut Vec<Sample>) {
        while self.known.len() >= MOST || self.waiting >= MOST {
            let Some((asked_ns, key)) = self.asked.pop_front() else { return };
            if self.known.get(&key).is_none_or(|(since_ns, _)| *since_ns != asked_ns) {
                continue;
            }
            if let Some((_, mut known)) = self.known.remove(&key) {
                self.waiting = self.waiting.saturating_sub(known.connection.waiting());
                // what nobody answered in time is told as that
                shared.pass(&mut known, now_ns, boot_to_unix_ns, out);
                shared.counts.questions += known.connection.waiting() as u64;
                shared.forget(&mut known, boot_to_unix_ns, out);
            }
        }
        if self.asked.len() >= 2 * MOST {
            let known = &self.known;
            self.asked
                .retain(|(asked_ns, key)| known.get(key).is_some_and(|(since_ns, _)| since_ns == asked_ns));
        }
    }
}
