//! ELF files, read piece by piece: sections, segments, and functions by their names. x86-64 only.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use memchr::memmem::Finder;

/// Most sections, segments and bytes of section names that are read.
const MOST_SECTIONS: usize = 4_096;
const MOST_SEGMENTS: usize = 256;
const MOST_NAMES: usize = 1 << 20;
/// Most bytes of a section's name that are kept: those that are looked for are shorter.
const MOST_NAME: usize = 64;
/// Most bytes of a file that are read, in sum, and as how many a read counts at least.
const MOST_READ: u64 = 512 << 20;
const LEAST_READ: u64 = 4_096;
/// Bytes of a table that are in memory at one time; a multiple of a symbol's size.
const STEP: usize = 24 * 4_096;
/// Most places where a name may stand in a table of strings.
const MOST_PLACES: usize = 64;

const SYMTAB: u32 = 2;
const DYNSYM: u32 = 11;
const NOBITS: u32 = 8;
const LOAD: u32 = 1;
const SYMBOL: usize = 24;
const FUNCTION: u8 = 2;

/// Something to read from at any place.
pub trait Source {
    /// Fills the front of `buffer` with what is at this place; less than all of it only at the end.
    ///
    /// # Errors
    /// Of the file.
    fn read_at(&self, place: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

impl Source for File {
    fn read_at(&self, place: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            let Some(rest) = buffer.get_mut(read..) else { break };
            match std::os::unix::fs::FileExt::read_at(self, rest, place.saturating_add(read as u64)) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }
}

/// A file that is read only until this is set: then each read fails.
#[derive(Debug)]
pub struct Until<'a> {
    /// The file.
    pub file: &'a File,
    /// Whether to stop.
    pub stop: &'a AtomicBool,
}

impl Source for Until<'_> {
    fn read_at(&self, place: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Source::read_at(self.file, place, buffer)
    }
}

impl Source for [u8] {
    fn read_at(&self, place: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(place).ok().and_then(|place| self.get(place..)).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(count)
    }
}

/// Why a file was not understood.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// Not a file for this machine.
    #[error("no ELF file of x86-64")]
    Kind,
    /// It says what cannot be.
    #[error("damaged: {0}")]
    Damaged(&'static str),
    /// Reading it.
    #[error("read: {0}")]
    Read(#[source] io::Error),
}

/// A section.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its name
    pub name: Vec<u8>,
    /// Its type
    pub kind: u32,
    /// Where it is in memory, before the file is moved.
    pub address: u64,
    /// Where it is in the file.
    pub offset: u64,
    /// Its bytes, in the file; 0 of one that has none there.
    pub size: u64,
    /// Another section that belongs to it.
    pub link: usize,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    offset: u64,
    address: u64,
    size: u64,
}

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its bytes; 0 if the file does not say.
    pub size: u64,
}

/// A file that is read.
#[derive(Debug)]
pub struct Elf<'a, S: ?Sized> {
    source: &'a S,
    sections: Vec<Section>,
    segments: Vec<Segment>,
    /// Bytes that may still be read.
    left: Cell<u64>,
}

fn half(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |two| usize::from(u16::from_le_bytes(*two)))
}

pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |four| u32::from_le_bytes(*four))
}

pub(super) fn long(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |eight| u64::from_le_bytes(*eight))
}

impl<'a, S: Source + ?Sized> Elf<'a, S> {
    /// Reads what a file says of itself.
    ///
    /// # Errors
    /// Where it is no such file, or cannot be read.
    pub fn open(source: &'a S) -> Result<Self, ElfError> {
        const MACHINE: usize = 62;
        let mut header = [0; 64];
        let read = source.read_at(0, &mut header).map_err(ElfError::Read)?;
        let is_ours = header.starts_with(b"\x7fELF\x02\x01") && half(&header, 0x12) == MACHINE;
        if read < header.len() || !is_ours {
            return Err(ElfError::Kind);
        }
        let mut elf = Self { source, sections: Vec::new(), segments: Vec::new(), left: Cell::new(MOST_READ) };
        elf.segments = elf.read_segments(&header)?;
        elf.sections = elf.read_sections(&header)?;
        Ok(elf)
    }

    /// Its sections; none where it was stripped of them.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The section of this name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name.as_bytes())
    }

    /// Bytes of the file; fewer where it ends.
    ///
    /// # Errors
    /// Of reading, and where too much of this file was read already.
    pub fn bytes(&self, offset: u64, size: usize) -> Result<Vec<u8>, ElfError> {
        let left = self.left.get().checked_sub(LEAST_READ.max(size as u64));
        self.left.set(left.ok_or(ElfError::Damaged("more than 512 MiB to read"))?);
        let mut bytes = vec![0; size];
        let read = self.source.read_at(offset, &mut bytes).map_err(ElfError::Read)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Where in the file an address of its code lies.
    pub fn offset_of(&self, address: u64) -> Option<u64> {
        let within =
            |segment: &&Segment| address.checked_sub(segment.address).is_some_and(|at| at < segment.size);
        let segment = self.segments.iter().find(within)?;
        (address - segment.address).checked_add(segment.offset)
    }

    fn read_segments(&self, header: &[u8]) -> Result<Vec<Segment>, ElfError> {
        const EXECUTABLE: u32 = 1;
        let (place, stride, count) = (long(header, 0x20), half(header, 0x36), half(header, 0x38));
        if count == 0 {
            return Ok(Vec::new());
        }
        if stride != 56 || count > MOST_SEGMENTS {
            return Err(ElfError::Damaged("program headers"));
        }
        let table = self.bytes(place, stride * count)?;
        let loaded = table
            .chunks_exact(stride)
            .filter(|entry| word(entry, 0) == LOAD && word(entry, 4) & EXECUTABLE != 0);
        let segment = |entry: &[u8]| Segment {
            offset: long(entry, 8),
            address: long(entry, 16),
            size: long(entry, 32),
        };
        Ok(loaded.map(segment).collect())
    }

    fn read_sections(&self, header: &[u8]) -> Result<Vec<Section>, ElfError> {
        let (place, stride, count) = (long(header, 0x28), half(header, 0x3a), half(header, 0x3c));
        if count == 0 || place == 0 {
            return Ok(Vec::new());
        }
        if stride != 64 || count > MOST_SECTIONS {
            return Err(ElfError::Damaged("section headers"));
        }
        let table = self.bytes(place, stride * count)?;
        let mut sections: Vec<Section> = Vec::new();
        let mut names = Vec::new();
        for entry in table.chunks_exact(stride) {
            let kind = word(entry, 4);
            let size = if kind == NOBITS { 0 } else { long(entry, 0x20) };
            names.push(word(entry, 0) as usize);
            sections.push(Section {
                name: Vec::new(),
                kind,
                address: long(entry, 0x10),
                offset: long(entry, 0x18),
                size,
                link: word(entry, 0x28) as usize,
            });
        }
        let Some(strings) = sections.get(half(header, 0x3e)) else { return Ok(sections) };
        let size = usize::try_from(strings.size).unwrap_or(usize::MAX).min(MOST_NAMES);
        let text = self.bytes(strings.offset, size)?;
        for (section, name) in sections.iter_mut().zip(names) {
            let rest = text.get(name..).unwrap_or_default();
            let rest = rest.get(..MOST_NAME).unwrap_or(rest);
            section.name = rest.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        }
        Ok(sections)
    }

    /// The functions of these names, by the first table of symbols of each kind: a file that can be run has no second.
    ///
    /// # Errors
    /// Of reading.
    pub fn functions<'n>(&self, names: &[&'n str]) -> Result<BTreeMap<&'n str, Function>, ElfError> {
        let mut found = BTreeMap::new();
        for kind in [DYNSYM, SYMTAB] {
            let Some(table) = self.sections.iter().find(|section| section.kind == kind) else { continue };
            let Some(strings) = self.sections.get(table.link) else { continue };
            let places = self.places(strings, names)?;
            if !places.is_empty() {
                self.look_up(table, &places, &mut found)?;
            }
        }
        Ok(found)
    }

    /// Where these names stand in a table of strings. Linkers let a name stand in the end of a longer one.
    fn places<'n>(&self, strings: &Section, names: &[&'n str]) -> Result<BTreeMap<u32, &'n str>, ElfError> {
        let mut places = BTreeMap::new();
        let ended: Vec<Vec<u8>> = names.iter().map(|name| [name.as_bytes(), b"\0"].concat()).collect();
        let longest = ended.iter().map(Vec::len).max().unwrap_or(0);
        self.each_step(strings, longest, |at, bytes| {
            for (name, text) in names.iter().zip(&ended) {
                for place in Finder::new(text).find_iter(bytes) {
                    let place = at.saturating_add(place as u64);
                    if let Ok(place) = u32::try_from(place)
                        && places.len() < MOST_PLACES * names.len()
                    {
                        places.insert(place, *name);
                    }
                }
            }
        })?;
        Ok(places)
    }

    fn look_up<'n>(
        &self,
        table: &Section,
        places: &BTreeMap<u32, &'n str>,
        found: &mut BTreeMap<&'n str, Function>,
    ) -> Result<(), ElfError> {
        self.each_step(table, 0, |_, bytes| {
            for symbol in bytes.chunks_exact(SYMBOL) {
                let Some(name) = places.get(&word(symbol, 0)) else { continue };
                let kind = symbol.get(4).map_or(0, |info| info & 0xf);
                let is_here = half(symbol, 6) != 0;
                let (address, size) = (long(symbol, 8), long(symbol, 16));
                if kind == FUNCTION
                    && is_here
                    && let Some(offset) = self.offset_of(address)
                {
                    found.entry(name).or_insert(Function { offset, size });
                }
            }
        })
    }

    /// Gives a section piece by piece, each with the last `overlap` bytes less one of the one before.
    pub(super) fn each_step(
        &self,
        section: &Section,
        overlap: usize,
        mut visit: impl FnMut(u64, &[u8]),
    ) -> Result<(), ElfError> {
        if section.size > self.left.get() {
            return Err(ElfError::Damaged("more than 512 MiB to read"));
        }
        let mut at = 0;
        while at < section.size {
            let size = usize::try_from(section.size - at).unwrap_or(STEP).min(STEP);
            let bytes = self.bytes(section.offset.saturating_add(at), size)?;
            visit(at, &bytes);
            if bytes.len() < size || at + size as u64 >= section.size {
                break;
            }
            at += (size - overlap.saturating_sub(1).min(size / 2)) as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(in crate::tls) mod tests;
