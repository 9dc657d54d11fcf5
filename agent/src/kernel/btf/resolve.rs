//! Questions to the index: members, enumerators, tracepoint arguments.

use super::Btf;
use super::parse::{
    Head, KIND_ARRAY, KIND_CONST, KIND_ENUM, KIND_ENUM64, KIND_FLOAT, KIND_FUNC_PROTO, KIND_INT, KIND_PTR,
    KIND_RESTRICT, KIND_STRUCT, KIND_TYPE_TAG, KIND_TYPEDEF, KIND_UNION, KIND_VOLATILE,
};

/// Most typedefs, qualifiers or nested structs that are followed; real kernels need a dozen.
const MAX_DEPTH: usize = 32;

/// Where a member lies in its struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Bytes from the struct's start.
    pub offset: u32,
    /// Bytes that it takes.
    pub size: u32,
}

/// Why a member has no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// No such struct or member in this kernel.
    #[error("absent")]
    Absent,
    /// It is a bitfield, which has no byte offset.
    #[error("a bitfield")]
    Bitfield,
}

/// One argument of a tracepoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Name of the struct, enum or integer behind typedefs, qualifiers and one pointer, e.g. `task_struct`.
    pub base: String,
    /// Whether it is a pointer to that.
    pub pointer: bool,
}

impl Btf {
    /// The place of `path` (`member.member`, through anonymous structs and unions) in a struct or union.
    pub fn field(&self, container: &str, path: &str) -> Result<Place, FieldError> {
        let mut last = FieldError::Absent;
        for id in self.named(container, &[KIND_STRUCT, KIND_UNION]) {
            match self.path(id, path) {
                Ok(place) => return Ok(place),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The value of one enumerator, e.g. `memory_cgrp_id` of `cgroup_subsys_id`.
    pub fn enumerator(&self, name_of_enum: &str, name: &str) -> Option<i64> {
        self.enumerators(name_of_enum).into_iter().find(|(have, _)| have == name).map(|(_, value)| value)
    }

    /// All enumerators of an enum, in the kernel's order; empty where it does not exist.
    pub fn enumerators(&self, name_of_enum: &str) -> Vec<(String, i64)> {
        let Some(head) = self.named(name_of_enum, &[KIND_ENUM, KIND_ENUM64]).find_map(|id| self.head(id))
        else {
            return Vec::new();
        };
        let stride = if head.kind == KIND_ENUM64 { 12 } else { 8 };
        let mut values = Vec::with_capacity(head.vlen);
        for index in 0..head.vlen {
            let at = head.body + index * stride;
            let (Some(name), Some(low)) = (self.word(at), self.word(at + 4)) else { break };
            let value = if head.kind == KIND_ENUM64 {
                let high = self.word(at + 8).unwrap_or(0);
                (i64::from(high) << 32) | i64::from(low)
            } else if head.flag {
                i64::from(low.cast_signed())
            } else {
                i64::from(low)
            };
            values.push((String::from_utf8_lossy(self.text(name)).into_owned(), value));
        }
        values
    }

    /// The arguments of a tracepoint as raw and BTF programs see them; `None` where the kernel does not have it.
    pub fn tracepoint(&self, name: &str) -> Option<Vec<Param>> {
        let typedef = self.named(&format!("btf_trace_{name}"), &[KIND_TYPEDEF]).next()?;
        let pointer = self.head(self.head(typedef)?.size_or_type)?;
        let proto = self.head(pointer.size_or_type)?;
        if pointer.kind != KIND_PTR || proto.kind != KIND_FUNC_PROTO {
            return None;
        }
        // the first one is the tracepoint's own `void *data`
        (1..proto.vlen).map(|index| self.param(self.word(proto.body + index * 8 + 4)?)).collect()
    }

    /// The position of the first argument of this type.
    pub fn argument(&self, tracepoint: &str, base: &str) -> Option<u32> {
        let params = self.tracepoint(tracepoint)?;
        params.iter().position(|param| param.base == base).and_then(|index| u32::try_from(index).ok())
    }

    fn param(&self, id: u32) -> Option<Param> {
        let Some((_, head)) = self.plain(id) else {
            return Some(Param { base: "void".into(), pointer: false });
        };
        let (head, pointer) = if head.kind == KIND_PTR {
            match self.plain(head.size_or_type) {
                Some((_, behind)) => (behind, true),
                None => return Some(Param { base: "void".into(), pointer: true }),
            }
        } else {
            (head, false)
        };
        Some(Param { base: String::from_utf8_lossy(self.text(head.name)).into_owned(), pointer })
    }

    fn path(&self, container: u32, path: &str) -> Result<Place, FieldError> {
        let mut offset = 0_u32;
        let mut inside = container;
        let mut names = path.split('.').peekable();
        while let Some(name) = names.next() {
            let (id, head) = self.plain(inside).ok_or(FieldError::Absent)?;
            let (bits, member) = self.member(id, head, name.as_bytes(), 0)?;
            if bits % 8 != 0 {
                return Err(FieldError::Bitfield);
            }
            offset = offset.checked_add(bits / 8).ok_or(FieldError::Absent)?;
            inside = member;
            if names.peek().is_none() {
                let size = self.size(member, 0).ok_or(FieldError::Absent)?;
                return Ok(Place { offset, size });
            }
        }
        Err(FieldError::Absent)
    }

    /// Bit offset and type of a member, also of one inside anonymous structs and unions.
    fn member(&self, id: u32, head: Head, wanted: &[u8], depth: usize) -> Result<(u32, u32), FieldError> {
        if depth > MAX_DEPTH || !matches!(head.kind, KIND_STRUCT | KIND_UNION) || wanted.is_empty() {
            return Err(FieldError::Absent);
        }
        for index in 0..head.vlen {
            let at = head.body + index * 12;
            let (Some(name), Some(kind), Some(packed)) =
                (self.word(at), self.word(at + 4), self.word(at + 8))
            else {
                break;
            };
            let (bits, bitfield) = if head.flag { (packed & 0x00ff_ffff, packed >> 24) } else { (packed, 0) };
            let name = self.text(name);
            if name == wanted {
                return if bitfield == 0 { Ok((bits, kind)) } else { Err(FieldError::Bitfield) };
            }
            if !name.is_empty() {
                continue;
            }
            let Some((inner_id, inner)) = self.plain(kind) else { continue };
            if inner_id == id {
                continue;
            }
            match self.member(inner_id, inner, wanted, depth + 1) {
                Ok((more, found)) => {
                    return bits.checked_add(more).map(|sum| (sum, found)).ok_or(FieldError::Absent);
                }
                Err(FieldError::Absent) => {}
                Err(FieldError::Bitfield) => return Err(FieldError::Bitfield),
            }
        }
        Err(FieldError::Absent)
    }

    /// The type behind typedefs and qualifiers; `None` is void.
    fn plain(&self, id: u32) -> Option<(u32, Head)> {
        let mut id = id;
        for _ in 0..MAX_DEPTH {
            let head = self.head(id)?;
            match head.kind {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {
                    id = head.size_or_type
                }
                _ => return Some((id, head)),
            }
        }
        None
    }

    fn size(&self, id: u32, depth: usize) -> Option<u32> {
        if depth > MAX_DEPTH {
            return None;
        }
        let (_, head) = self.plain(id)?;
        match head.kind {
            KIND_PTR => Some(8),
            KIND_INT | KIND_STRUCT | KIND_UNION | KIND_ENUM | KIND_ENUM64 | KIND_FLOAT => {
                Some(head.size_or_type)
            }
            KIND_ARRAY => {
                let each = self.size(self.word(head.body)?, depth + 1)?;
                each.checked_mul(self.word(head.body + 8)?)
            }
            _ => None,
        }
    }
}
