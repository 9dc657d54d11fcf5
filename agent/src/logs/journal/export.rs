//! The journal export format: fields as `NAME=value` lines or, where a value holds control characters, as the name, a
//! little-endian 64-bit length, the bytes and a line end; entries end with an empty line.
//!
//! Fed with pieces of any size. Memory is bounded: of a long value only the first bytes are kept.

use crate::logs::tail::LINE_BYTES;

/// No value of a journal is longer; what claims to be is no export format.
const MAX_VALUE: u64 = 4 << 30;
/// Bytes kept of a value that is not the message.
const MAX_FIELD: usize = 4096;

/// What the reader uses of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) cursor: String,
    /// Microseconds since the Unix epoch.
    pub(crate) realtime_us: Option<u64>,
    pub(crate) message: Vec<u8>,
    pub(crate) is_cut: bool,
    /// Syslog severity.
    pub(crate) priority: Option<u8>,
    pub(crate) unit: String,
    pub(crate) cgroup: String,
    pub(crate) comm: String,
    pub(crate) identifier: String,
    pub(crate) transport: String,
    pub(crate) pid: String,
}

/// The input is not in the export format.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("parse the journal's export format: a value of {length} bytes")]
pub(crate) struct MalformedError {
    length: u64,
}

/// Turns bytes into entries.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    state: State,
    /// The line so far, or the name and value of a binary field.
    line: Vec<u8>,
    name: Vec<u8>,
    is_cut: bool,
    entry: Entry,
    has_fields: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Line,
    /// The length of a binary value: bytes so far.
    Length {
        taken: usize,
        length: u64,
    },
    Value {
        left: u64,
    },
    /// The line end behind a binary value.
    End,
}

impl Parser {
    /// Calls `each` with every entry that ends in these bytes.
    ///
    /// # Errors
    /// When they cannot be of the format; the parser is of no use then.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(Entry),
    ) -> Result<(), MalformedError> {
        while !bytes.is_empty() {
            match self.state {
                State::Line => {
                    let end = memchr::memchr(b'\n', bytes);
                    let piece = &bytes[..end.unwrap_or(bytes.len())];
                    self.keep(piece, LINE_BYTES + MAX_FIELD);
                    bytes = &bytes[piece.len()..];
                    if end.is_some() {
                        bytes = &bytes[1..];
                        self.line_ended(&mut each);
                    }
                }
                State::Length { taken, length } => {
                    let length = length | u64::from(bytes[0]) << (8 * taken);
                    bytes = &bytes[1..];
                    self.state = match taken {
                        7 if length > MAX_VALUE => return Err(MalformedError { length }),
                        7 if length == 0 => State::End,
                        7 => State::Value { left: length },
                        _ => State::Length { taken: taken + 1, length },
                    };
                }
                State::Value { left } => {
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    self.keep(&bytes[..count], LINE_BYTES);
                    bytes = &bytes[count..];
                    let left = left - count as u64;
                    self.state = if left == 0 { State::End } else { State::Value { left } };
                }
                State::End => {
                    bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
                    let (name, value) = (std::mem::take(&mut self.name), std::mem::take(&mut self.line));
                    self.field(&name, &value);
                    self.state = State::Line;
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, piece: &[u8], most: usize) {
        let kept = piece.len().min(most.saturating_sub(self.line.len()));
        self.is_cut |= kept < piece.len();
        self.line.extend_from_slice(&piece[..kept]);
    }

    fn line_ended(&mut self, each: &mut impl FnMut(Entry)) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            if std::mem::take(&mut self.has_fields) {
                each(std::mem::take(&mut self.entry));
            }
            return;
        }
        match memchr::memchr(b'=', &line) {
            Some(equals) => self.field(&line[..equals], &line[equals + 1..]),
            None => {
                self.name = line;
                self.state = State::Length { taken: 0, length: 0 };
            }
        }
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        self.has_fields = true;
        let is_cut = std::mem::take(&mut self.is_cut);
        let text = || String::from_utf8_lossy(&value[..value.len().min(MAX_FIELD)]).into_owned();
        let entry = &mut self.entry;
        match name {
            b"MESSAGE" => (entry.message, entry.is_cut) = (value.to_vec(), is_cut),
            b"__CURSOR" => entry.cursor = text(),
            b"__REALTIME_TIMESTAMP" => entry.realtime_us = text().parse().ok(),
            b"PRIORITY" => entry.priority = text().parse().ok(),
            b"_SYSTEMD_UNIT" => entry.unit = text(),
            b"_SYSTEMD_CGROUP" => entry.cgroup = text(),
            b"_COMM" => entry.comm = text(),
            b"SYSLOG_IDENTIFIER" => entry.identifier = text(),
            b"_TRANSPORT" => entry.transport = text(),
            b"_PID" => entry.pid = text(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, MalformedError, Parser};
    use crate::logs::random::Random;

    fn parse(bytes: &[u8], piece: usize) -> Result<Vec<Entry>, MalformedError> {
        let mut entries = Vec::new();
        let mut parser = Parser::default();
        for piece in bytes.chunks(piece) {
            parser.feed(piece, |entry| entries.push(entry))?;
        }
        Ok(entries)
    }

    fn example() -> Vec<u8> {
        let mut text =
            b"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1795267499000001\nPRIORITY=3\n_PID=7\nOTHER=\nMESSAGE\n"
                .to_vec();
        text.extend_from_slice(&9_u64.to_le_bytes());
        text.extend_from_slice(b"two\nlines\n_SYSTEMD_UNIT=a.service\n\n__CURSOR=c2\nMESSAGE=a=b\n\n");
        text
    }

    #[test]
    fn text_and_binary_fields_in_pieces_of_any_size() {
        for piece in 1..80 {
            let entries = parse(&example(), piece).unwrap();
            assert_eq!(entries.len(), 2, "{piece}");
            let first = &entries[0];
            assert_eq!(
                (first.cursor.as_str(), first.realtime_us, first.priority),
                ("s=1;i=2", Some(1_795_267_499_000_001), Some(3))
            );
            assert_eq!((first.message.as_slice(), first.unit.as_str()), (&b"two\nlines"[..], "a.service"));
            assert_eq!((entries[1].message.as_slice(), entries[1].unit.as_str()), (&b"a=b"[..], ""));
        }
    }

    #[test]
    fn a_long_message_is_cut_and_marked() {
        let long = vec![b'x'; 3 << 20];
        let text = [b"MESSAGE=", long.as_slice(), b"\nPRIORITY=6\n\n"].concat();
        let entries = parse(&text, 65_536).unwrap();
        assert!(entries[0].is_cut && entries[0].message.len() > proto::MAX_LOG_BODY_BYTES);
        assert_eq!(entries[0].priority, Some(6));
    }

    #[test]
    fn a_length_beyond_reason_is_refused() {
        let text = [b"MESSAGE\n".as_slice(), &u64::MAX.to_le_bytes()].concat();
        assert_eq!(parse(&text, 100), Err(MalformedError { length: u64::MAX }));
    }

    #[test]
    fn any_bytes_are_taken_or_refused() {
        let pieces: [&[u8]; 9] = [
            b"MESSAGE",
            b"=",
            b"\n",
            b"\n\n",
            b"\x03\0\0\0\0\0\0\0",
            b"abc",
            b"__CURSOR=",
            b"PRIORITY=",
            b"\0",
        ];
        let mut random = Random::new(5);
        for _ in 0..20_000 {
            let text = random.mix(&pieces, 14);
            let whole = parse(&text, text.len().max(1));
            let bits = parse(&text, 1 + random.below(5));
            assert_eq!(whole.map_err(drop), bits.map_err(drop));
        }
    }
}
