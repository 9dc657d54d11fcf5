//! Header blocks of one direction: HEADERS with its CONTINUATIONs, and the table that they share.

use super::super::frames::Frames;
use super::fields::Text;
use super::frame::{CONTINUATION, END_HEADERS, END_STREAM, Frame, PUSH_PROMISE};
use super::hpack::Table;

/// Bytes of one block over all its frames.
const MAX_BLOCK: usize = 32 * 1024;

pub(super) struct Side {
    pub(super) frames: Frames,
    /// What comes are frames that the programs have told.
    pub(super) is_told: bool,
    table: Table,
    open: Option<Block>,
}

struct Block {
    stream: u32,
    end_stream: bool,
    pushed: bool,
    began: u64,
    bytes: Vec<u8>,
    cut: bool,
}

/// A block, decoded.
#[derive(Default)]
pub(super) struct Headers {
    pub(super) stream: u32,
    pub(super) end_stream: bool,
    pub(super) began: u64,
    pub(super) method: Option<Text>,
    pub(super) path: Option<Text>,
    pub(super) status: Option<u16>,
    pub(super) content_type: Option<Text>,
    pub(super) grpc_status: Option<Text>,
    /// Of those headers that are read, with their names, what else there was.
    pub(super) others: Vec<(Text, Text)>,
    /// Some fields could not be read.
    pub(super) unknown: bool,
}

impl Headers {
    pub(super) fn is_grpc(&self) -> bool {
        self.content_type.as_ref().is_some_and(|kind| kind.starts_with(b"application/grpc"))
    }
}

impl Default for Side {
    fn default() -> Self {
        Self { frames: Frames::default(), is_told: false, table: Table::new(), open: None }
    }
}

impl Side {
    /// Blocks may have been missed.
    pub(super) fn lose(&mut self) {
        self.open = None;
        self.table.forget();
    }

    /// Bytes that are kept.
    pub(super) fn memory(&self) -> usize {
        let open = self.open.as_ref().map_or(0, |block| block.bytes.capacity());
        self.frames.memory() + self.table.memory() + open
    }

    /// Takes a frame with a part of a block; the headers once all of it is there. A pushed block is none of ours.
    pub(super) fn take(&mut self, frame: &Frame<'_>, began: u64) -> Option<Headers> {
        let part = frame.block();
        let mut block = if frame.kind == CONTINUATION {
            // One without a beginning: its block, and what that put into the table, was missed.
            let Some(block) = self.open.take().filter(|open| open.stream == frame.stream) else {
                self.lose();
                return None;
            };
            block
        } else {
            if self.open.is_some() {
                self.lose();
            }
            Block {
                stream: frame.stream,
                end_stream: frame.has(END_STREAM),
                pushed: frame.kind == PUSH_PROMISE,
                began,
                bytes: Vec::new(),
                cut: false,
            }
        };
        if !block.cut {
            let part = part.unwrap_or_default();
            let room = MAX_BLOCK - block.bytes.len();
            block.bytes.extend_from_slice(&part[..part.len().min(room)]);
            block.cut = frame.cut || part.len() > room || frame.block().is_none();
        }
        if !frame.has(END_HEADERS) {
            self.open = Some(block);
            return None;
        }
        let headers = self.decode(&block);
        (!block.pushed).then_some(headers)
    }

    fn decode(&mut self, block: &Block) -> Headers {
        let mut headers = Headers {
            stream: block.stream,
            end_stream: block.end_stream && !block.pushed,
            began: block.began,
            ..Headers::default()
        };
        let read = self.table.decode(&block.bytes, |field| {
            let Some(name) = &field.name else {
                headers.unknown = true;
                return;
            };
            let Some(value) = &field.value else {
                return;
            };
            match &**name {
                b":method" => headers.method = Some(value.clone()),
                b":path" => headers.path = Some(value.clone()),
                b":status" => headers.status = str::from_utf8(value).ok().and_then(|code| code.parse().ok()),
                b"content-type" => headers.content_type = Some(value.clone()),
                b"grpc-status" => headers.grpc_status = Some(value.clone()),
                b":authority" | b"host" | b"traceparent" | b"x-request-id" => {
                    headers.others.push((name.clone(), value.clone()));
                }
                _ => {}
            }
        });
        headers.unknown |= read.is_err() || block.cut;
        if block.cut {
            self.table.forget();
        }
        headers
    }
}
