//! Docker's json-file lines: one JSON object each.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Entry, Stream};
use crate::logs::line::time;

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(borrow, default)]
    time: Cow<'a, str>,
}

pub(super) fn decode(line: &[u8]) -> Option<Entry<'_>> {
    let Line { log, stream, time } = serde_json::from_slice(line).ok()?;
    let is_part = !log.ends_with('\n');
    let text = match log {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_suffix('\n').unwrap_or(text).as_bytes()),
        Cow::Owned(mut text) => {
            if !is_part {
                text.pop();
            }
            Cow::Owned(text.into_bytes())
        }
    };
    let stream = Stream::parse(stream.as_bytes()).unwrap_or_default();
    Some(Entry { ts: time::rfc3339(time.as_bytes()), stream, is_part, text, is_bad: false })
}
