//! The end of a file of ours: numbers, its version, its magic; before it a footer with a checksum.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::bad;

/// The numbers before version and magic.
pub(super) struct Tail<const N: usize> {
    pub(super) numbers: [u32; N],
    pub(super) version: u32,
    at: u64,
}

impl<const N: usize> Tail<N> {
    /// Reads the last bytes of a file that ends in this magic.
    pub(super) fn read(file: &File, magic: &[u8; 8]) -> io::Result<Self> {
        let bytes = (N + 1) * 4 + magic.len();
        let at = file.metadata()?.len().checked_sub(bytes as u64).ok_or_else(|| bad("short file"))?;
        let mut tail = vec![0; bytes];
        file.read_exact_at(&mut tail, at)?;
        let (words, found) = tail.split_at((N + 1) * 4);
        if found != magic {
            return Err(bad("wrong magic"));
        }
        let mut words = words.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
        let numbers = [(); N].map(|()| words.next().unwrap_or(0));
        Ok(Self { numbers, version: words.next().unwrap_or(0), at })
    }

    /// The bytes before it, so many, if they have this checksum, and where they begin.
    pub(super) fn footer(&self, file: &File, bytes: usize, crc32c: u32) -> io::Result<(Vec<u8>, u64)> {
        let at = self.at.checked_sub(bytes as u64).ok_or_else(|| bad("footer beyond the file"))?;
        let mut footer = vec![0; bytes];
        file.read_exact_at(&mut footer, at)?;
        match crc32c::crc32c(&footer) == crc32c {
            true => Ok((footer, at)),
            false => Err(bad("wrong checksum of the footer")),
        }
    }
}
