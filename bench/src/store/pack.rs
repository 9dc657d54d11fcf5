//! Rows into batches as an agent sends them: one zstd frame of at most 1 MiB of payload, (node, epoch, seq).
//!
//! Written to a file before the clock starts: `u32 node length, node, u64 seq, u64 unpacked, u32 length, frame`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use prost::Message as _;
use proto::v1;

pub(crate) struct Packer {
    out: BufWriter<File>,
    next_seq: BTreeMap<String, u64>,
}

impl Packer {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let out = File::create(path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self { out: BufWriter::with_capacity(1 << 20, out), next_seq: BTreeMap::new() })
    }

    pub(crate) fn add(&mut self, node: &str, payload: &v1::Payload) -> Result<()> {
        let seq = self.next_seq.entry(node.to_owned()).or_default();
        *seq += 1;
        let bytes = payload.encode_to_vec();
        let frame = zstd::bulk::compress(&bytes, 1).context("compress a batch")?;
        self.out.write_all(&u32::try_from(node.len())?.to_le_bytes())?;
        self.out.write_all(node.as_bytes())?;
        self.out.write_all(&seq.to_le_bytes())?;
        self.out.write_all(&(bytes.len() as u64).to_le_bytes())?;
        self.out.write_all(&u32::try_from(frame.len())?.to_le_bytes())?;
        self.out.write_all(&frame)?;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<()> {
        self.out.flush().context("write the batches")
    }
}

/// Reads one batch; `None` at the end.
pub(crate) fn next_batch(input: &mut BufReader<File>) -> Result<Option<v1::Batch>> {
    let Some(node) = read_u32(input)? else { return Ok(None) };
    let mut name = vec![0; node as usize];
    input.read_exact(&mut name)?;
    let mut numbers = [0; 16];
    input.read_exact(&mut numbers)?;
    let seq = u64::from_le_bytes(numbers[..8].try_into()?);
    let unpacked_bytes = u64::from_le_bytes(numbers[8..].try_into()?);
    let length = read_u32(input)?.context("a batch ends early")?;
    let mut frame = vec![0; length as usize];
    input.read_exact(&mut frame)?;
    let node = String::from_utf8(name)?;
    Ok(Some(v1::Batch { node, epoch: 1, seq, zstd_payload: frame.into(), unpacked_bytes }))
}

fn read_u32(input: &mut BufReader<File>) -> Result<Option<u32>> {
    let mut bytes = [0; 4];
    match input.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(u32::from_le_bytes(bytes))),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error).context("read the batches"),
    }
}
