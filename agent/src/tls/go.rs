//! Programs made by Go: which version, and where their functions are, by the table that the runtime needs itself and that
//! stays when symbols are taken out.

use std::collections::BTreeMap;

use super::elf::{Elf, ElfError, Function, Section, Source, long, word};

/// The versions whose structs are known to have the fields where the programs read them.
pub const VERSIONS: std::ops::RangeInclusive<u32> = 18..=26;

/// Most functions of a program.
const MOST_FUNCTIONS: u64 = 1 << 22;
/// Bytes of the table that are in memory at one time.
const WINDOW: usize = 64 * 1024;
/// Most bytes of the version.
const MOST_VERSION: usize = 256;

/// The minor number of the Go version that made it; `None` where it was not Go, or before 1.18.
///
/// # Errors
/// Of reading.
pub fn version<S: Source + ?Sized>(elf: &Elf<'_, S>) -> Result<Option<u32>, ElfError> {
    const STRINGS_INLINE: u8 = 2;
    let Some(section) = elf.section(".go.buildinfo") else { return Ok(None) };
    let bytes = elf.bytes(section.offset, 32 + 2 + MOST_VERSION)?;
    let is_known =
        bytes.starts_with(b"\xff Go buildinf:") && bytes.get(15).is_some_and(|f| f & STRINGS_INLINE != 0);
    if !is_known {
        return Ok(None);
    }
    // a length in one or two bytes of seven bits; versions are short
    let text = bytes.get(33..).unwrap_or_default();
    let text = if bytes.get(32).is_some_and(|length| length & 0x80 != 0) {
        text.get(1..).unwrap_or_default()
    } else {
        text
    };
    Ok(minor(text))
}

/// Of `go1.26.8`
fn minor(text: &[u8]) -> Option<u32> {
    let rest = text.strip_prefix(b"go1.")?;
    let digits = rest.split(|byte| !byte.is_ascii_digit()).next()?;
    str::from_utf8(digits).ok()?.parse().ok()
}

/// Bytes of a file, a window of which is in memory.
struct Window<'e, 's, S: ?Sized> {
    elf: &'e Elf<'s, S>,
    at: u64,
    bytes: Vec<u8>,
}

impl<'e, 's, S: Source + ?Sized> Window<'e, 's, S> {
    fn new(elf: &'e Elf<'s, S>) -> Self {
        Self { elf, at: 0, bytes: Vec::new() }
    }

    fn get(&mut self, place: u64, size: usize) -> Result<&[u8], ElfError> {
        let is_here = |at: u64, length: usize| {
            place.checked_sub(at).is_some_and(|from| from.saturating_add(size as u64) <= length as u64)
        };
        if !is_here(self.at, self.bytes.len()) {
            self.bytes = self.elf.bytes(place, WINDOW)?;
            self.at = place;
        }
        let from = usize::try_from(place - self.at).unwrap_or(usize::MAX);
        self.bytes
            .get(from..from.saturating_add(size))
            .ok_or(ElfError::Damaged("the table of functions ends early"))
    }
}

/// The head of the runtime's table (1.18).
struct Table {
    count: u64,
    text: u64,
    names: (u64, u64),
    functions: u64,
}

fn table<S: Source + ?Sized>(elf: &Elf<'_, S>, section: &Section) -> Result<Table, ElfError> {
    let head = elf.bytes(section.offset, 72)?;
    let is_known = matches!(word(&head, 0), 0xffff_fff0 | 0xffff_fff1) && head.get(7) == Some(&8);
    let (names, end, functions) = (long(&head, 32), long(&head, 40), long(&head, 64));
    let is_sane = names <= end && end <= section.size && functions <= section.size;
    let count = long(&head, 8);
    if head.len() < 72 || !is_known || !is_sane || count > MOST_FUNCTIONS {
        return Err(ElfError::Damaged("Go's table of functions"));
    }
    Ok(Table {
        count,
        text: long(&head, 24),
        names: (section.offset.saturating_add(names), end - names),
        functions: section.offset.saturating_add(functions),
    })
}

/// The functions of these names.
///
/// # Errors
/// Of reading, and where the table makes no sense.
pub fn functions<'n, S: Source + ?Sized>(
    elf: &Elf<'_, S>,
    names: &[&'n str],
) -> Result<BTreeMap<&'n str, Function>, ElfError> {
    let mut found = BTreeMap::new();
    let Some(section) = elf.section(".gopclntab").or_else(|| elf.section(".data.rel.ro.gopclntab")) else {
        return Ok(found);
    };
    let table = table(elf, section)?;
    let places = places(elf, &table, names)?;
    if places.is_empty() {
        return Ok(found);
    }
    let (mut entries, mut described) = (Window::new(elf), Window::new(elf));
    let texts = texts(elf, &table)?;
    for index in 0..table.count {
        let entry = entries.get(table.functions.saturating_add(index * 8), 12)?;
        let (begin, place, end) = (word(entry, 0), word(entry, 4), word(entry, 8));
        let function = described.get(table.functions.saturating_add(u64::from(place)), 8)?;
        let Some(name) = places.get(&word(function, 4)) else { continue };
        let size = u64::from(end.saturating_sub(begin));
        let at = |text: &u64| elf.offset_of(text.saturating_add(u64::from(begin)));
        for offset in texts.iter().filter_map(at) {
            if is_function(&elf.bytes(offset, 16)?) {
                found.insert(*name, Function { offset, size });
                break;
            }
        }
        if found.len() == places.len() {
            break;
        }
    }
    Ok(found)
}

/// Where these names stand among the names.
fn places<'n, S: Source + ?Sized>(
    elf: &Elf<'_, S>,
    table: &Table,
    names: &[&'n str],
) -> Result<BTreeMap<u32, &'n str>, ElfError> {
    let (offset, size) = table.names;
    let section = Section { name: Vec::new(), kind: 0, address: 0, offset, size, link: 0 };
    let ended: Vec<Vec<u8>> = names.iter().map(|name| [b"\0", name.as_bytes(), b"\0"].concat()).collect();
    let longest = ended.iter().map(Vec::len).max().unwrap_or(0);
    let mut places = BTreeMap::new();
    elf.each_step(&section, longest, |at, bytes| {
        for (name, text) in names.iter().zip(&ended) {
            if let Some(place) = memchr::memmem::find(bytes, text)
                && let Ok(place) = u32::try_from(at.saturating_add(place as u64 + 1))
            {
                places.insert(place, *name);
            }
        }
    })?;
    Ok(places)
}

/// Where the code may begin that the table counts from: it says so up to 1.25; else the runtime's own record of the
/// program, or the begin of the section, which is another place where a C linker has put its own first.
fn texts<S: Source + ?Sized>(elf: &Elf<'_, S>, table: &Table) -> Result<Vec<u64>, ElfError> {
    const MODULE_TEXT: u64 = 176;
    let mut texts = vec![table.text];
    if let Some(module) = elf.section(".go.module") {
        texts.push(long(&elf.bytes(module.offset.saturating_add(MODULE_TEXT), 8)?, 0));
    }
    texts.extend(elf.section(".text").map(|text| text.address));
    texts.retain(|text| *text != 0);
    Ok(texts)
}

/// Whether a Go function that needs room on the stack begins here.
fn is_function(code: &[u8]) -> bool {
    code.starts_with(b"\x49\x3b\x66\x10")
        || (code.starts_with(b"\x4c\x8d\x64\x24") || code.starts_with(b"\x4c\x8d\xa4\x24"))
}

#[cfg(test)]
mod tests {
    use super::minor;

    #[test]
    fn versions_are_read() {
        assert_eq!(minor(b"go1.26.8"), Some(26));
        assert_eq!(minor(b"go1.21 X:boringcrypto"), Some(21));
        assert_eq!(minor(b"devel go1.27-abc"), None);
        assert_eq!(minor(b"go1."), None);
    }
}
