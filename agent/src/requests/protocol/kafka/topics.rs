//! Bodies of Produce and Fetch as far as their topics and first errors, in all versions up to those of 4.1.
//!
//! Newer versions name topics by an id alone (Fetch and Produce from 13 on); names to ids come with Metadata.

use std::collections::VecDeque;

use super::super::bytes::Cursor;
use super::names::Names;

/// Topics of one request that are named.
const MAX_TOPICS: usize = 8;
/// Partitions of one topic that are walked.
const MAX_PARTITIONS: u32 = 10_000;
/// Ids of topics whose names are remembered on one connection.
const MAX_IDS: usize = 256;
/// From this version on Fetch and Produce have ids.
const IDS_FROM: i16 = 13;
/// Bytes of a topic's name.
const MAX_NAME: usize = 249;

/// What a request says of its topics.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Topics {
    pub(super) names: Vec<String>,
    /// How many the request has, of which some may be behind what was seen.
    pub(super) count: u32,
    /// Of Produce: nobody answers.
    pub(super) silent: bool,
}

/// What a topic's id is.
pub(super) type Id = [u8; 16];

/// Names of topics by their ids, as Metadata told them on this connection, the oldest of which go; and on others.
#[derive(Default)]
pub(super) struct Ids {
    own: VecDeque<(Id, String)>,
    others: Names,
}

impl Ids {
    pub(super) fn new(others: &Names) -> Self {
        Self { own: VecDeque::new(), others: others.clone() }
    }

    /// Takes an answer to Metadata, as far as it was seen.
    pub(super) fn take(&mut self, body: &[u8], version: i16) {
        if (10..=IDS_FROM).contains(&version) {
            let mut read = Reader { cursor: Cursor::new(body), flexible: true, ids: self };
            read.metadata();
        }
    }

    /// Bytes that they take.
    pub(super) fn memory(&self) -> usize {
        const NAME: usize = 64;
        self.own.capacity() * (size_of::<(Id, String)>() + NAME)
    }

    fn insert(&mut self, id: Id, name: String) {
        self.others.learn(id, &name);
        self.own.retain(|(other, _)| *other != id);
        if self.own.len() >= MAX_IDS {
            self.own.pop_front();
        }
        self.own.push_back((id, name));
    }

    fn name(&self, id: &[u8]) -> Option<String> {
        let own = self.own.iter().find(|(other, _)| other == id).map(|(_, name)| name.clone());
        own.or_else(|| self.others.name(id))
    }
}

/// Reads Produce behind its head.
pub(super) fn produce(body: &[u8], version: i16, ids: &mut Ids) -> Option<Topics> {
    let mut read = Reader { cursor: Cursor::new(body), flexible: version >= 9, ids };
    if version >= 3 {
        read.text()?;
    }
    let acks = read.cursor.i16()?;
    read.cursor.i32()?;
    let silent = acks == 0;
    let count = read.count()?;
    let mut topics = Topics { names: Vec::new(), count, silent };
    read.each(count, version >= IDS_FROM, &mut topics.names, |read| {
        read.cursor.i32()?;
        let len = if read.flexible { read.cursor.varint()?.saturating_sub(1) } else { read.positive()? };
        read.cursor.take(len as usize)?;
        read.tags()
    });
    Some(topics)
}

/// Reads Fetch behind its head.
pub(super) fn fetch(body: &[u8], version: i16, ids: &mut Ids) -> Option<Topics> {
    let mut read = Reader { cursor: Cursor::new(body), flexible: version >= 12, ids };
    // replica (up to 14), wait, bytes at least, bytes at most (3), isolation (4), session and epoch (7)
    let widths = [(0, 14, 4), (0, i16::MAX, 8), (3, i16::MAX, 4), (4, i16::MAX, 1), (7, i16::MAX, 8)];
    for (from, to, width) in widths {
        if (from..=to).contains(&version) {
            read.cursor.take(width)?;
        }
    }
    let count = read.count()?;
    let mut topics = Topics { names: Vec::new(), count, silent: false };
    // partition, leader's epoch (9), offset, last epoch (12), log start (5), bytes
    let width = 4
        + 8
        + 4
        + [(9, 4), (12, 4), (5, 8)]
            .iter()
            .filter(|(from, _)| version >= *from)
            .map(|(_, width)| width)
            .sum::<usize>();
    read.each(count, version >= IDS_FROM, &mut topics.names, |read| {
        read.cursor.take(width)?;
        read.tags()
    });
    Some(topics)
}

/// The first error of the partitions in an answer to Produce; none where there is none.
pub(super) fn produce_error(body: &[u8], version: i16) -> Option<i16> {
    let mut ids = Ids::default();
    let mut read = Reader { cursor: Cursor::new(body), flexible: version >= 9, ids: &mut ids };
    for _ in 0..read.count()?.min(MAX_TOPICS as u32) {
        if version >= IDS_FROM {
            read.cursor.take(16)?;
        } else {
            read.text()?;
        }
        for _ in 0..read.count()?.min(MAX_PARTITIONS) {
            read.cursor.i32()?;
            let error = read.cursor.i16()?;
            if error != 0 {
                return Some(error);
            }
            // offset, append time (2), log start (5), errors of records and a message (8)
            read.cursor.take(8)?;
            if version >= 2 {
                read.cursor.take(8)?;
            }
            if version >= 5 {
                read.cursor.take(8)?;
            }
            if version >= 8 {
                for _ in 0..read.count()?.min(MAX_PARTITIONS) {
                    read.cursor.i32()?;
                    read.text()?;
                    read.tags()?;
                }
                read.text()?;
            }
            read.tags()?;
        }
        read.tags()?;
    }
    None
}

/// The error of the first partition in an answer to Fetch.
pub(super) fn fetch_error(body: &[u8], version: i16) -> Option<i16> {
    let mut ids = Ids::default();
    let mut read = Reader { cursor: Cursor::new(body), flexible: version >= 12, ids: &mut ids };
    // time to wait (1), error and session (7)
    read.cursor.take(if version >= 1 { 4 } else { 0 } + if version >= 7 { 6 } else { 0 })?;
    if read.count()? == 0 {
        return None;
    }
    if version >= IDS_FROM {
        read.cursor.take(16)?;
    } else {
        read.text()?;
    }
    if read.count()? == 0 {
        return None;
    }
    read.cursor.i32()?;
    read.cursor.i16().filter(|error| *error != 0)
}

struct Reader<'a, 'i> {
    cursor: Cursor<'a>,
    flexible: bool,
    ids: &'i mut Ids,
}

impl<'a> Reader<'a, '_> {
    /// A text that may be absent.
    fn text(&mut self) -> Option<&'a [u8]> {
        let len = if self.flexible {
            self.cursor.varint()?.saturating_sub(1)
        } else {
            u32::try_from(self.cursor.i16()?.max(0)).ok()?
        };
        self.cursor.take(len as usize)
    }

    fn positive(&mut self) -> Option<u32> {
        u32::try_from(self.cursor.i32()?.max(0)).ok()
    }

    /// Of an array.
    fn count(&mut self) -> Option<u32> {
        if self.flexible { Some(self.cursor.varint()?.saturating_sub(1)) } else { self.positive() }
    }

    /// Tagged fields, passed over.
    fn tags(&mut self) -> Option<()> {
        if !self.flexible {
            return Some(());
        }
        for _ in 0..self.cursor.varint()?.min(64) {
            self.cursor.varint()?;
            let len = self.cursor.varint()?;
            self.cursor.take(len as usize)?;
        }
        Some(())
    }

    /// Names of topics with their partitions, as far as the bytes go; of an id that is not known there is none.
    fn each(
        &mut self,
        count: u32,
        by_id: bool,
        names: &mut Vec<String>,
        mut partition: impl FnMut(&mut Self) -> Option<()>,
    ) {
        let mut topic = || {
            if by_id {
                let id = self.cursor.take(16)?;
                names.extend(self.ids.name(id));
            } else {
                names.push(topic_name(self.text()?)?);
            }
            let partitions = self.count()?;
            for _ in 0..partitions.min(MAX_PARTITIONS) {
                partition(self)?;
            }
            self.tags()
        };
        for _ in 0..count.min(MAX_TOPICS as u32) {
            if topic().is_none() {
                return;
            }
        }
    }

    /// Brokers, then topics with name and id.
    fn metadata(&mut self) -> Option<()> {
        self.cursor.i32()?;
        for _ in 0..self.count()? {
            self.cursor.i32()?;
            self.text()?;
            self.cursor.i32()?;
            self.text()?;
            self.tags()?;
        }
        self.text()?;
        self.cursor.i32()?;
        for _ in 0..self.count()? {
            self.cursor.i16()?;
            let name = topic_name(self.text()?);
            let id = Id::try_from(self.cursor.take(16)?).ok()?;
            if let Some(name) = name.filter(|_| id != [0; 16]) {
                self.ids.insert(id, name);
            }
            self.cursor.u8()?;
            for _ in 0..self.count()? {
                self.cursor.take(14)?;
                // replicas, those in sync, those offline
                for _ in 0..3 {
                    let count = self.count()? as usize;
                    self.cursor.take(count.checked_mul(4)?)?;
                }
                self.tags()?;
            }
            self.cursor.i32()?;
            self.tags()?;
        }
        Some(())
    }
}

/// Topics have few characters to choose from.
fn topic_name(bytes: &[u8]) -> Option<String> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    if bytes.is_empty() || bytes.len() > MAX_NAME || !bytes.iter().all(plain) {
        return None;
    }
    String::from_utf8(bytes.to_vec()).ok()
}
