//! Streams of bytes in frames: a large stream alone, small ones together, each frame a zstd frame or plain bytes.

use std::cell::RefCell;
use std::io;

use super::bad;

/// A stream of this size has a frame of its own.
const OWN: usize = 1 << 10;
/// A frame of small streams is full at this size.
const FULL: usize = 32 << 10;
/// What every zstd frame starts with, and ours do not.
pub(super) const MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// zstd level, as for plain pages.
const LEVEL: i32 = 1;

/// Streams, one after the other.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) bytes: Vec<u8>,
    pub(super) lens: Vec<u32>,
    started: usize,
}

impl Streams {
    /// What was pushed to `bytes` since the last end is a stream.
    pub(super) fn end(&mut self) {
        self.lens.push((self.bytes.len() - self.started) as u32);
        self.started = self.bytes.len();
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.lens.clear();
        self.started = 0;
    }
}

/// Where streams lie: their frames and offsets, and the frames' sizes. Follows from the lengths alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    pub(super) places: Vec<Place>,
    pub(super) frames: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) frame: u32,
    pub(super) offset: u32,
    pub(super) len: u32,
}

impl Layout {
    pub(super) fn new(lens: &[u32]) -> Self {
        let mut layout = Self::default();
        let mut shared: Option<usize> = None;
        for len in lens {
            let frame = match shared {
                _ if *len as usize >= OWN => None,
                Some(frame) if layout.frames[frame] as usize <= FULL => Some(frame),
                _ => {
                    layout.frames.push(0);
                    shared = Some(layout.frames.len() - 1);
                    shared
                }
            };
            let frame = frame.unwrap_or_else(|| {
                layout.frames.push(0);
                layout.frames.len() - 1
            });
            let offset = layout.frames[frame];
            layout.places.push(Place { frame: frame as u32, offset, len: *len });
            layout.frames[frame] = offset.saturating_add(*len);
        }
        layout
    }
}

/// Packs streams into frames; returns each frame's packed size and checksum. A frame that zstd does not make smaller
/// is kept as it is.
pub(super) fn pack(
    streams: &Streams,
    compressor: &mut zstd::bulk::Compressor<'static>,
    out: &mut Vec<u8>,
) -> io::Result<Vec<(u32, u32)>> {
    let layout = Layout::new(&streams.lens);
    let mut by_frame: Vec<Vec<(usize, usize)>> = vec![Vec::new(); layout.frames.len()];
    let mut at = 0;
    for place in &layout.places {
        by_frame[place.frame as usize].push((at, place.len as usize));
        at += place.len as usize;
    }
    let mut frames = Vec::with_capacity(layout.frames.len());
    let (mut raw, mut packed) = (Vec::new(), Vec::new());
    for parts in by_frame {
        let bytes = match parts.as_slice() {
            [(at, len)] => &streams.bytes[*at..at + len],
            parts => {
                raw.clear();
                parts.iter().for_each(|(at, len)| raw.extend_from_slice(&streams.bytes[*at..at + len]));
                &raw
            }
        };
        packed.clear();
        packed.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
        compressor.compress_to_buffer(bytes, &mut packed)?;
        let without_magic = packed.get(MAGIC.len()..).unwrap_or_default();
        let chosen = if packed.len() < bytes.len() { without_magic } else { bytes };
        frames.push((chosen.len() as u32, crc32c::crc32c(chosen)));
        out.extend_from_slice(chosen);
    }
    Ok(frames)
}

pub(super) fn compressor() -> io::Result<zstd::bulk::Compressor<'static>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    // the sizes are in the head
    compressor.include_contentsize(false)?;
    compressor.include_checksum(false)?;
    Ok(compressor)
}

/// The bytes of a frame whose size is known.
pub(super) fn unpack(packed: Vec<u8>, crc: u32, len: usize) -> io::Result<Vec<u8>> {
    if crc32c::crc32c(&packed) != crc {
        return Err(bad("wrong checksum of a part"));
    }
    if packed.len() == len {
        return Ok(packed);
    }
    decompress(&packed, len)
}

thread_local! {
    /// Making one costs as much as unpacking a small frame.
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Unpacks a zstd frame that came without its magic number.
pub(super) fn decompress(packed: &[u8], len: usize) -> io::Result<Vec<u8>> {
    let whole = [MAGIC, packed].concat();
    let bytes = DECOMPRESSOR.with_borrow_mut(|known| match known {
        Some(decompressor) => decompressor.decompress(&whole, len),
        None => known.insert(zstd::bulk::Decompressor::new()?).decompress(&whole, len),
    })?;
    if bytes.len() == len { Ok(bytes) } else { Err(bad("wrong size of a part")) }
}
