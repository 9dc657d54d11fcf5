//! Bytes to an index of types.

use std::path::Path;

use super::{Btf, BtfError};

pub(super) const KIND_INT: u32 = 1;
pub(super) const KIND_PTR: u32 = 2;
pub(super) const KIND_ARRAY: u32 = 3;
pub(super) const KIND_STRUCT: u32 = 4;
pub(super) const KIND_UNION: u32 = 5;
pub(super) const KIND_ENUM: u32 = 6;
pub(super) const KIND_FWD: u32 = 7;
pub(super) const KIND_TYPEDEF: u32 = 8;
pub(super) const KIND_VOLATILE: u32 = 9;
pub(super) const KIND_CONST: u32 = 10;
pub(super) const KIND_RESTRICT: u32 = 11;
pub(super) const KIND_FUNC_PROTO: u32 = 13;
pub(super) const KIND_FLOAT: u32 = 16;
pub(super) const KIND_TYPE_TAG: u32 = 18;
pub(super) const KIND_ENUM64: u32 = 19;

const MAGIC: u16 = 0xeb9f;
const HEADER: usize = 24;
/// Bytes of a type before what its kind adds.
pub(super) const TYPE: usize = 12;

/// The fixed part of a type.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) name: u32,
    pub(super) kind: u32,
    pub(super) vlen: usize,
    /// In structs: members carry a bitfield size.
    pub(super) flag: bool,
    /// Size in bytes, or the type that is pointed to or renamed.
    pub(super) size_or_type: u32,
    /// Where its members begin.
    pub(super) body: usize,
}

impl Btf {
    /// Reads the running kernel's types.
    pub fn running() -> Result<Self, BtfError> {
        Self::read(Path::new("/sys/kernel/btf/vmlinux"))
    }

    /// Reads them from a file.
    pub fn read(path: &Path) -> Result<Self, BtfError> {
        let data = std::fs::read(path).map_err(|error| BtfError::Read {
            path: path.display().to_string(),
            detail: error.to_string(),
        })?;
        Self::parse(data)
    }

    /// Indexes the types; a truncated or damaged file is an error, never a panic.
    pub fn parse(data: Vec<u8>) -> Result<Self, BtfError> {
        let magic = data.first_chunk::<2>().map(|bytes| u16::from_le_bytes(*bytes));
        if magic != Some(MAGIC) || data.len() < HEADER {
            return Err(BtfError::Header);
        }
        let word = |at: usize| u32_at(&data, at).map(|value| value as usize).ok_or(BtfError::Header);
        let (header, type_at, type_len) = (word(4)?, word(8)?, word(12)?);
        let (string_at, string_len) = (word(16)?, word(20)?);
        let section = |at: usize, len: usize| {
            let start = header.checked_add(at).ok_or(BtfError::Section)?;
            let end = start.checked_add(len).ok_or(BtfError::Section)?;
            if end > data.len() { Err(BtfError::Section) } else { Ok(start..end) }
        };
        let (type_range, strings) = (section(type_at, type_len)?, section(string_at, string_len)?);
        let mut btf = Self { types: vec![0], named: Vec::new(), strings, data };
        btf.index(type_range)?;
        Ok(btf)
    }

    fn index(&mut self, range: std::ops::Range<usize>) -> Result<(), BtfError> {
        let mut at = range.start;
        while at < range.end {
            let id = u32::try_from(self.types.len()).map_err(|_too_many| BtfError::Section)?;
            let head = self.head_at(at).ok_or(BtfError::Section)?;
            let extra = match head.kind {
                KIND_INT | 14 | 17 => 4,
                KIND_PTR | KIND_FWD | KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | 12
                | KIND_FLOAT | KIND_TYPE_TAG => 0,
                KIND_ARRAY => 12,
                KIND_STRUCT | KIND_UNION | 15 | KIND_ENUM64 => head.vlen * 12,
                KIND_ENUM | KIND_FUNC_PROTO => head.vlen * 8,
                kind => return Err(BtfError::Kind { id, kind }),
            };
            if head.body + extra > range.end {
                return Err(BtfError::Section);
            }
            self.types.push(u32::try_from(at).map_err(|_too_long| BtfError::Section)?);
            let name = self.text(head.name);
            let wanted = match head.kind {
                KIND_STRUCT | KIND_UNION | KIND_ENUM | KIND_ENUM64 => !name.is_empty(),
                KIND_TYPEDEF => name.starts_with(b"btf_trace_"),
                _ => false,
            };
            if wanted {
                self.named.push((hash(name), id));
            }
            at = head.body + extra;
        }
        self.named.sort_unstable();
        self.named.shrink_to_fit();
        self.types.shrink_to_fit();
        Ok(())
    }

    fn head_at(&self, at: usize) -> Option<Head> {
        let info = u32_at(&self.data, at + 4)?;
        Some(Head {
            name: u32_at(&self.data, at)?,
            kind: (info >> 24) & 0x1f,
            vlen: (info & 0xffff) as usize,
            flag: info >> 31 != 0,
            size_or_type: u32_at(&self.data, at + 8)?,
            body: at + TYPE,
        })
    }

    pub(super) fn head(&self, id: u32) -> Option<Head> {
        if id == 0 {
            return None;
        }
        self.head_at(*self.types.get(id as usize)? as usize)
    }

    pub(super) fn word(&self, at: usize) -> Option<u32> {
        u32_at(&self.data, at)
    }

    /// A name; empty where the offset points nowhere.
    pub(super) fn text(&self, offset: u32) -> &[u8] {
        let strings = self.data.get(self.strings.clone()).unwrap_or_default();
        let rest = strings.get(offset as usize..).unwrap_or_default();
        rest.get(..memchr::memchr(0, rest).unwrap_or(rest.len())).unwrap_or_default()
    }

    /// Types of this name and one of these kinds, in the file's order.
    pub(super) fn named(&self, name: &str, kinds: &[u32]) -> impl Iterator<Item = u32> {
        let wanted = hash(name.as_bytes());
        let from = self.named.partition_point(|(have, _)| *have < wanted);
        self.named
            .iter()
            .skip(from)
            .take_while(move |(have, _)| *have == wanted)
            .filter(move |(_, id)| {
                self.head(*id)
                    .is_some_and(|head| kinds.contains(&head.kind) && self.text(head.name) == name.as_bytes())
            })
            .map(|(_, id)| *id)
    }

    /// The `btf_trace_*` typedefs: (id, name).
    pub(super) fn trace_typedefs(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.named.iter().filter_map(|(_, id)| {
            let head = self.head(*id)?;
            (head.kind == KIND_TYPEDEF).then(|| (*id, self.text(head.name)))
        })
    }
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes))
}

fn hash(name: &[u8]) -> u64 {
    name.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
