//! Tar (POSIX ustar), as much of it as an image needs: files, directories, symbolic links; no owners and no times.

use std::io::{self, Read, Write};

use anyhow::{Result, bail};

const BLOCK: usize = 512;

/// A tar that is being written.
#[derive(Debug)]
pub(super) struct Tar<W> {
    to: W,
}

impl<W: Write> Tar<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to }
    }

    pub(super) fn dir(&mut self, path: &str, mode: u32) -> Result<()> {
        self.to.write_all(&header(&format!("{path}/"), mode, 0, b'5', "")?)?;
        Ok(())
    }

    pub(super) fn link(&mut self, path: &str, target: &str) -> Result<()> {
        self.to.write_all(&header(path, 0o777, 0, b'2', target)?)?;
        Ok(())
    }

    pub(super) fn file(&mut self, path: &str, mode: u32, size: u64, from: &mut dyn Read) -> Result<()> {
        self.to.write_all(&header(path, mode, size, b'0', "")?)?;
        let copied = io::copy(&mut from.take(size), &mut self.to)?;
        if copied != size {
            bail!("{path} became shorter while it was read");
        }
        let rest = (BLOCK - (size % BLOCK as u64) as usize) % BLOCK;
        self.to.write_all(&[0; BLOCK][..rest])?;
        Ok(())
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> Result<W> {
        self.to.write_all(&[0; 2 * BLOCK])?;
        self.to.flush()?;
        Ok(self.to)
    }
}

fn header(path: &str, mode: u32, size: u64, kind: u8, target: &str) -> Result<[u8; BLOCK]> {
    let mut block = [0_u8; BLOCK];
    let (prefix, name) = split(path)?;
    put(&mut block, 0, name.as_bytes());
    put(&mut block, 100, format!("{mode:07o}").as_bytes());
    put(&mut block, 108, b"0000000");
    put(&mut block, 116, b"0000000");
    put(&mut block, 124, format!("{size:011o}").as_bytes());
    put(&mut block, 136, b"00000000000");
    put(&mut block, 148, b"        ");
    block[156] = kind;
    if target.len() > 100 {
        bail!("the link {path} leads too far: {target}");
    }
    put(&mut block, 157, target.as_bytes());
    put(&mut block, 257, b"ustar\x0000");
    put(&mut block, 345, prefix.as_bytes());
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut block, 148, format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}

fn put(block: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A long path is kept in two fields, parted at a slash.
fn split(path: &str) -> Result<(&str, &str)> {
    if path.len() <= 100 {
        return Ok(("", path));
    }
    let parted = path.match_indices('/').map(|(at, _)| (&path[..at], &path[at + 1..]));
    match parted.into_iter().find(|(prefix, name)| prefix.len() <= 155 && name.len() <= 100) {
        Some(parts) => Ok(parts),
        None => bail!("the path is too long for a tar: {path}"),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::Tar;

    #[test]
    fn a_file_that_shrinks_is_an_error() {
        assert!(Tar::new(Vec::new()).file("short", 0o600, 9, &mut b"x".as_slice()).is_err());
    }

    #[test]
    fn tar_lists_what_was_written() {
        let mut tar = Tar::new(Vec::new());
        let long = format!("{}/{}", "d".repeat(90), "f".repeat(90));
        tar.dir("etc", 0o755).unwrap();
        tar.file("etc/hosts", 0o644, 600, &mut [b'x'; 600].as_slice()).unwrap();
        tar.link("bin", "usr/bin").unwrap();
        tar.file(&long, 0o600, 0, &mut [].as_slice()).unwrap();
        let bytes = tar.finish().unwrap();
        let path = std::env::temp_dir().join(format!("wake-xtask-tar-{}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        let output = Command::new("tar").arg("-tvf").arg(&path).stderr(Stdio::inherit()).output().unwrap();
        std::fs::remove_file(&path).unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        assert!(text.contains("600 1970-01-01") && text.contains("etc/hosts"), "{text}");
        assert!(text.contains("bin -> usr/bin") && text.contains(&long), "{text}");
    }
}
