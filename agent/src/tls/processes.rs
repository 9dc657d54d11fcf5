//! Processes, and the files that they have mapped to be run, as `/proc` has them.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::binary::is_library;

/// Most bytes of one process's list of mappings.
const MOST_MAPS: u64 = 4 * 1024 * 1024;

/// A file, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileKey {
    /// The device as mappings name it.
    pub device: (u32, u32),
    /// The inode.
    pub inode: u64,
}

/// A file that a process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Which file.
    pub key: FileKey,
    /// Its name, as the process sees it.
    pub path: String,
    /// Where it is mapped.
    pub range: String,
}

/// `/proc`, or what stands for it in a test.
#[derive(Clone, Debug)]
pub struct Processes {
    root: PathBuf,
    within: Option<PathBuf>,
}

impl Processes {
    /// Of this root; `within` is the cgroup in or below which a process must be.
    pub fn new(root: &Path, within: Option<PathBuf>) -> Self {
        Self { root: root.to_owned(), within }
    }

    /// The numbers of all processes.
    ///
    /// # Errors
    /// Of reading the directory.
    pub fn all(&self) -> io::Result<HashSet<u32>> {
        if let Some(within) = &self.within {
            return Ok(members(within));
        }
        let names = std::fs::read_dir(&self.root)?.filter_map(Result::ok).map(|entry| entry.file_name());
        Ok(names.filter_map(|name| name.to_str()?.parse().ok()).collect())
    }

    /// When a process began, in ticks since boot: with its number it names it.
    pub fn began(&self, pid: u32) -> Option<u64> {
        let stat = std::fs::read_to_string(self.root.join(format!("{pid}/stat"))).ok()?;
        stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
    }

    /// The files that a process runs and that may have TLS: the program itself first, then libraries by their names.
    /// `None` where it is gone, or may not be looked at.
    pub fn mapped(&self, pid: u32) -> Option<Vec<Mapped>> {
        let file = File::open(self.root.join(format!("{pid}/maps"))).ok()?;
        let mut text = Vec::new();
        // one that was cut ends with half a line, which is none
        file.take(MOST_MAPS).read_to_end(&mut text).ok()?;
        let program = std::fs::metadata(self.root.join(format!("{pid}/exe"))).ok().map(|found| found.ino());
        Some(mapped(&String::from_utf8_lossy(&text), program))
    }

    /// Opens the very file that a process has mapped.
    ///
    /// # Errors
    /// Where there is no way to it.
    pub fn open(&self, pid: u32, mapped: &Mapped) -> io::Result<File> {
        let process = self.root.join(pid.to_string());
        let named = mapped.path.strip_suffix(" (deleted)").unwrap_or(&mapped.path);
        let by_name = process.join("root").join(named.trim_start_matches('/'));
        let ways = [by_name, process.join("map_files").join(&mapped.range), process.join("exe")];
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for way in ways {
            // what is no file (a device, a pipe) must not be opened, nor, if it is put here meanwhile, waited for
            match std::fs::metadata(&way) {
                Ok(found) if found.is_file() && found.ino() == mapped.key.inode => {}
                Ok(_) => continue,
                Err(error) => {
                    last = error;
                    continue;
                }
            }
            let opened =
                File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(&way);
            match opened.and_then(|file| Ok((file.metadata()?, file))) {
                Ok((found, file)) if found.is_file() && found.ino() == mapped.key.inode => return Ok(file),
                Ok(_) => {}
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Most cgroups that are looked through.
const MOST_CGROUPS: usize = 16_384;

/// The processes of a cgroup and of those below it; one that goes meanwhile has none.
fn members(cgroup: &Path) -> HashSet<u32> {
    let (mut found, mut left, mut looked) = (HashSet::new(), vec![cgroup.to_owned()], 0);
    while let Some(directory) = left.pop() {
        let text = std::fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        looked += 1;
        if looked >= MOST_CGROUPS {
            break;
        }
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        let below =
            entries.filter_map(Result::ok).filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        left.extend(below.map(|entry| entry.path()));
    }
    found
}

/// The files of a list of mappings that may be run: the program of this inode, and libraries by their names.
fn mapped(text: &str, program: Option<u64>) -> Vec<Mapped> {
    let mut found: Vec<Mapped> = Vec::new();
    for line in text.lines() {
        let Some(mapping) = mapping(line) else { continue };
        let named = mapping.path.strip_suffix(" (deleted)").unwrap_or(&mapping.path);
        let is_wanted = program == Some(mapping.key.inode) || is_library(named);
        if is_wanted && !found.iter().any(|known| known.key == mapping.key) {
            found.push(mapping);
        }
    }
    found
}

/// One line: `7f..-7f.. r-xp 00000000 fe:00 1234    /usr/lib/libssl.so.3`
fn mapping(line: &str) -> Option<Mapped> {
    let mut words = line.splitn(6, ' ');
    let (range, rights) = (words.next()?, words.next()?);
    if !rights.contains('x') {
        return None;
    }
    let (_offset, device, inode) = (words.next()?, words.next()?, words.next()?);
    let path = words.next()?.trim_start();
    let (major, minor) = device.split_once(':')?;
    let device = (u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?);
    let inode = inode.parse().ok().filter(|inode| *inode != 0)?;
    let key = FileKey { device, inode };
    path.starts_with('/').then(|| Mapped { key, path: path.to_owned(), range: range.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::{FileKey, mapped};

    #[test]
    fn the_program_and_libraries_by_name_are_found_once() {
        let text = "\
00400000-00401000 r-xp 00000000 fe:00 11    /usr/bin/app
7f01-7f02 r--p 00000000 fe:00 12    /usr/lib/libssl.so.3
7f02-7f03 r-xp 00001000 fe:00 12    /usr/lib/libssl.so.3
7f03-7f04 r-xp 00001000 fe:00 12    /usr/lib/libssl.so.3
7f04-7f05 r-xp 00000000 fe:00 13    /usr/lib/libc.so.6
7f05-7f06 r-xp 00000000 103:0a 14    /old/libssl.so.1.1 (deleted)
7f06-7f07 r-xp 00000000 00:00 0    [vdso]
7f07-7f08 r-xp";
        let found = mapped(text, Some(11));
        let paths: Vec<&str> = found.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["/usr/bin/app", "/usr/lib/libssl.so.3", "/old/libssl.so.1.1 (deleted)"]);
        assert_eq!(found[2].key, FileKey { device: (0x103, 0x0a), inode: 14 });
        assert_eq!(found[1].range, "7f02-7f03");
    }

    #[test]
    fn lines_that_make_no_sense_are_passed_over() {
        assert!(
            mapped(
                "x\n\n1-2 r-xp a b c d\n7f-8f r-xp 0 fe:00 99999999999999999999999 /lib/libssl.so\n",
                None
            )
            .is_empty()
        );
    }
}
