//! Lines as container runtimes write them: CRI text and docker's json-file, one decoder for both.
//!
//! CRI: `<RFC 3339> <stdout|stderr> <P|F>[:tags] <text>`. Docker: `{"log":"text\n","stream":"stdout","time":".."}`, where
//! a text without line end is a part. A line that is neither is kept whole, with a mark.

mod docker;
mod join;
mod path;

use std::borrow::Cow;

use crate::logs::line::time;

pub(crate) use join::Join;
pub(crate) use path::{Container, of_path};

/// Which output of a process a line was written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stream {
    /// A file, or not known.
    #[default]
    None,
    Stdout,
    Stderr,
}

impl Stream {
    pub(crate) const ALL: [Self; 3] = [Self::None, Self::Stdout, Self::Stderr];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }

    fn parse(name: &[u8]) -> Option<Self> {
        match name {
            b"stdout" => Some(Self::Stdout),
            b"stderr" => Some(Self::Stderr),
            _ => None,
        }
    }
}

/// One decoded line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// Nanoseconds since the Unix epoch.
    pub(crate) ts: Option<u64>,
    pub(crate) stream: Stream,
    /// The line goes on in the stream's next entry.
    pub(crate) is_part: bool,
    pub(crate) text: Cow<'a, [u8]>,
    /// Neither CRI nor docker: the text is the line as it stands.
    pub(crate) is_bad: bool,
}

impl<'a> Entry<'a> {
    /// A line of a file that has no framing.
    pub(crate) fn plain(line: &'a [u8]) -> Self {
        Self { ts: None, stream: Stream::None, is_part: false, text: Cow::Borrowed(line), is_bad: false }
    }
}

/// Never refuses: what cannot be understood is text.
pub(crate) fn decode(line: &[u8]) -> Entry<'_> {
    let decoded = if line.first() == Some(&b'{') { docker::decode(line) } else { cri(line) };
    decoded.unwrap_or(Entry {
        ts: None,
        stream: Stream::None,
        is_part: false,
        text: Cow::Borrowed(line),
        is_bad: true,
    })
}

fn cri(line: &[u8]) -> Option<Entry<'_>> {
    let (time, rest) = split_space(line)?;
    let ts = time::rfc3339(time)?;
    let (stream, rest) = split_space(rest)?;
    let stream = Stream::parse(stream)?;
    // an empty text may come without the space before it
    let (tags, text) = split_space(rest).unwrap_or((rest, b""));
    let is_part = match tags.split(|&byte| byte == b':').next()? {
        b"P" => true,
        b"F" => false,
        _ => return None,
    };
    Some(Entry { ts: Some(ts), stream, is_part, text: Cow::Borrowed(text), is_bad: false })
}

fn split_space(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b' ', bytes)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

#[cfg(test)]
mod tests;
