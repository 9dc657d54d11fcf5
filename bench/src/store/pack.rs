//! Rows into batches as an agent sends them: one zstd frame of at most 1 MiB of payload, (node, epoch, seq).
//!
//! Written to a file before the clock starts: `u32 node length, node, u64 epoch, u64 seq, u64 unpacked, u32 length,
//! frame`. The answers of all nodes' streams are read as one, and an ack names no node: each node has an epoch of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use prost::Message as _;
use proto::v1;

pub(crate) struct Packer {
    out: BufWriter<File>,
    /// Node → its epoch and the number of its last batch.
    nodes: BTreeMap<String, (u64, u64)>,
}

impl Packer {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let out = File::create(path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self { out: BufWriter::with_capacity(1 << 20, out), nodes: BTreeMap::new() })
    }

    pub(crate) fn add(&mut self, node: &str, payload: &v1::Payload) -> Result<()> {
        let epoch = self.nodes.len() as u64 + 1;
        let (epoch, seq) = self.nodes.entry(node.to_owned()).or_insert((epoch, 0));
        *seq += 1;
        let v1::Batch { zstd_payload: frame, unpacked_bytes, .. } = batch_of(node, *epoch, *seq, payload)?;
        self.out.write_all(&u32::try_from(node.len())?.to_le_bytes())?;
        self.out.write_all(node.as_bytes())?;
        self.out.write_all(&epoch.to_le_bytes())?;
        self.out.write_all(&seq.to_le_bytes())?;
        self.out.write_all(&unpacked_bytes.to_le_bytes())?;
        self.out.write_all(&u32::try_from(frame.len())?.to_le_bytes())?;
        self.out.write_all(&frame)?;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<()> {
        self.out.flush().context("write the batches")
    }
}

/// The batch that an agent would send.
pub(crate) fn batch_of(node: &str, epoch: u64, seq: u64, payload: &v1::Payload) -> Result<v1::Batch> {
    let bytes = payload.encode_to_vec();
    let frame = zstd::bulk::compress(&bytes, 1).context("compress a batch")?;
    let unpacked_bytes = bytes.len() as u64;
    Ok(v1::Batch { node: node.to_owned(), epoch, seq, zstd_payload: frame.into(), unpacked_bytes })
}

/// Reads one batch; `None` at the end.
pub(crate) fn next_batch(input: &mut BufReader<File>) -> Result<Option<v1::Batch>> {
    let Some(node) = read_u32(input)? else { return Ok(None) };
    let mut name = vec![0; node as usize];
    input.read_exact(&mut name)?;
    let mut numbers = [0; 24];
    input.read_exact(&mut numbers)?;
    let number = |at: usize| numbers[at..at + 8].try_into().map(u64::from_le_bytes);
    let (epoch, seq, unpacked_bytes) = (number(0)?, number(8)?, number(16)?);
    let length = read_u32(input)?.context("a batch ends early")?;
    let mut frame = vec![0; length as usize];
    input.read_exact(&mut frame)?;
    let node = String::from_utf8(name)?;
    Ok(Some(v1::Batch { node, epoch, seq, zstd_payload: frame.into(), unpacked_bytes }))
}

fn read_u32(input: &mut BufReader<File>) -> Result<Option<u32>> {
    let mut bytes = [0; 4];
    match input.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(u32::from_le_bytes(bytes))),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error).context("read the batches"),
    }
}
