//! Questions by datagram, each until it is answered or given up.
//!
//! Entries are given up in the order in which they were asked, so that room is found without a search.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use super::{Known, Shared, begin, is_to_many, protocol};
use crate::decode::requests::Piece;
use crate::window::sample::Sample;

/// Most sockets and other ends with questions that wait.
const MOST: usize = 32_768;
/// A question without an answer is given up after this long.
const PATIENCE_NS: u64 = 6_000_000_000;

type Key = (u64, SocketAddr);

#[derive(Debug, Default)]
pub(super) struct Datagrams {
    known: HashMap<Key, (u64, Known)>,
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
        let key = (piece.header.socket, piece.peer());
        if !self.known.contains_key(&key) {
            let is_question = piece.is_request() && !is_to_many(piece.local(), piece.peer());
            let Some(protocol) = protocol(piece.header.protocol).filter(|_| is_question) else { return };
            self.make_room(shared, boot_to_unix_ns, out);
            let at_ns = piece.header.at_ns;
            self.known.insert(key, (at_ns, begin(piece, protocol, &mut shared.doings)));
            self.asked.push_back((at_ns, key));
        }
        let Some((_, known)) = self.known.get_mut(&key) else { return };
        shared.feed(known, piece, boot_to_unix_ns, out);
        if !known.connection.is_open() {
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
            let last_ns = known.connection.last_ns;
            if now_ns.saturating_sub(last_ns) < PATIENCE_NS {
                // asked again meanwhile
                *since_ns = now_ns;
                self.asked.push_back((now_ns, key));
                continue;
            }
            if let Some((_, mut known)) = self.known.remove(&key) {
                shared.end(&mut known, last_ns.saturating_add(PATIENCE_NS), boot_to_unix_ns, out);
            }
        }
    }

    fn make_room(&mut self, shared: &mut Shared, boot_to_unix_ns: i64, out: &mut Vec<Sample>) {
        while self.known.len() >= MOST {
            let Some((asked_ns, key)) = self.asked.pop_front() else { return };
            if self.known.get(&key).is_none_or(|(since_ns, _)| *since_ns != asked_ns) {
                continue;
            }
            if let Some((_, mut known)) = self.known.remove(&key) {
                shared.counts.questions += 1;
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
