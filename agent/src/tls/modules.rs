//! Modules that a program of Go was built from, as its build information has them.
//!
//! Behind the version of Go stands a text with a line for each module: `dep`, its path, its version, and the sum of its
//! files, between tabs; `=>` in the next line names what it was replaced by. Modules out of a `vendor` directory have no sum.

use super::elf::{Elf, ElfError, Source};

/// Where the version and the text stand, each behind its length.
const STRINGS: usize = 32;
/// Bytes of the marks around the text.
const MARK: usize = 16;
/// Most bytes that are read: large programs have some 50 KiB.
const MOST: u64 = 256 * 1024;

/// Bytes of a version: those of untagged revisions have some 35.
const LONGEST: usize = 64;

/// What is said of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Module {
    /// It is not among those that the program was built from, or nothing is said of these.
    Absent,
    /// Another one took its place.
    Replaced,
    /// Its files were not compared with what the version has, as those in a `vendor` directory.
    Unsummed(String),
    /// A version whose files were.
    Version(String),
}

/// What the build information says of the module with this path.
///
/// # Errors
/// Of reading.
pub fn module<S: Source + ?Sized>(elf: &Elf<'_, S>, path: &str) -> Result<Module, ElfError> {
    let Some(section) = elf.section(".go.buildinfo") else { return Ok(Module::Absent) };
    let size = usize::try_from(section.size.min(MOST)).unwrap_or_default();
    let bytes = elf.bytes(section.offset, size)?;
    Ok(text(&bytes).map_or(Module::Absent, |text| of(text, path)))
}

/// The lines of the modules.
fn text(bytes: &[u8]) -> Option<&str> {
    let (_, rest) = string(bytes.get(STRINGS..)?)?;
    let (text, _) = string(rest)?;
    let end = text.len().checked_sub(MARK)?;
    str::from_utf8(text.get(MARK..end)?).ok()
}

/// A string behind its length, in groups of seven bits, the lowest first; and what is behind it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    // longer ones are beyond all that is read
    for (index, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return bytes.get(index + 1..)?.split_at_checked(length);
        }
    }
    None
}

fn of(text: &str, path: &str) -> Module {
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut words = line.split('\t');
        if words.next() != Some("dep") || words.next() != Some(path) {
            continue;
        }
        if lines.next().is_some_and(|next| next.starts_with("=>")) {
            return Module::Replaced;
        }
        let version = version(words.next().unwrap_or_default());
        let is_summed = words.next().is_some_and(|sum| sum.starts_with("h1:"));
        return if is_summed { Module::Version(version) } else { Module::Unsummed(version) };
    }
    Module::Absent
}

/// As it is told; what cannot be a version, of a program that says what it likes, is told as that.
fn version(said: &str) -> String {
    let is_odd = said.len() > LONGEST || said.bytes().any(|byte| !byte.is_ascii_graphic());
    if is_odd { "an odd version".to_owned() } else { said.to_owned() }
}

#[cfg(test)]
pub(in crate::tls) mod tests {
    use super::{MARK, Module, STRINGS, of, text};

    const PATH: &str = "google.golang.org/grpc";
    pub(in crate::tls) const LINES: &str = "path\tpair\nmod\tpair\t(devel)\t\ndep\tgolang.org/x/net\tv0.60.0\th1:aa=\n\
                         dep\tgoogle.golang.org/grpc\tv1.85.0\th1:bb=\nbuild\t-compiler=gc\n";

    fn string(text: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut length = text.len();
        while length >= 0x80 {
            bytes.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend_from_slice(text);
        bytes
    }

    /// The section of a program with these lines.
    pub(in crate::tls) fn section(lines: &str) -> Vec<u8> {
        let mut bytes = b"\xff Go buildinf:\x08\x02".to_vec();
        bytes.resize(STRINGS, 0);
        bytes.extend(string(b"go1.26.8"));
        bytes.extend(string(&[&[b'm'; MARK], lines.as_bytes(), &[b'm'; MARK]].concat()));
        bytes
    }

    #[test]
    fn a_version_is_said_and_whether_it_can_be_trusted() {
        let said = |lines: &str| of(text(&section(lines)).unwrap(), PATH);
        assert_eq!(said(LINES), Module::Version("v1.85.0".to_owned()));
        assert_eq!(said(&LINES.replace("\th1:bb=", "")), Module::Unsummed("v1.85.0".to_owned()));
        assert_eq!(said(&LINES.replace("h1:bb=", "")), Module::Unsummed("v1.85.0".to_owned()));
        assert_eq!(said(&LINES.replace("bb=\n", "bb=\n=>\t../grpc\t(devel)\t\n")), Module::Replaced);
        assert_eq!(said(&LINES.replace("org/grpc\t", "org/grpc/x\t")), Module::Absent);
        for odd in [&"v1.85.0".repeat(64), "v1\u{7}", "v1 2"] {
            let said = said(&LINES.replace("v1.85.0", odd));
            assert_eq!(said, Module::Version("an odd version".to_owned()), "{odd}");
        }
        // a program of the module itself has the version of a directory
        assert_eq!(said(&LINES.replace("dep\tgoogle", "mod\tgoogle")), Module::Absent);
        assert_eq!(said("dep\tgoogle.golang.org/grpc"), Module::Unsummed(String::new()));
    }

    #[test]
    fn what_is_no_build_information_says_nothing() {
        let whole = section(LINES);
        assert!(text(&whole).is_some());
        for end in 0..whole.len() {
            assert_eq!(text(&whole[..end]), None, "{end}");
        }
        for length in [&[0xff_u8; 10][..], &[0xff, 0xff, 0xff, 0x7f], &[0x80, 0x80, 0x80, 0x80, 0x01], &[]] {
            let bytes = [&whole[..STRINGS], length].concat();
            assert_eq!(text(&bytes), None, "{length:x?}");
        }
        // shorter than its marks, or no text
        let mut short = whole[..STRINGS].to_vec();
        short.extend(string(b"go1.26.8"));
        short.extend(string(&[b'm'; MARK + 1]));
        assert_eq!(text(&short), None);
        let odd = String::from_utf8(vec![b'd'; 40]).unwrap();
        let mut bytes = section(&odd);
        let last = bytes.len() - MARK - 1;
        bytes[last] = 0xff;
        assert_eq!(text(&bytes), None);
    }
}
